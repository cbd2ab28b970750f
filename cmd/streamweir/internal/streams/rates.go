package streams

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// Rates are what came in during the last whole minute, on average.
type Rates struct {
	Records float64 `json:"incoming_records_per_second"`
	Bytes   float64 `json:"incoming_bytes_per_second"`
}

// The server exports what CloudWatch would show, as sums over a minute.
const (
	metricRecords = "aws_kinesis_incoming_records_sum"
	metricBytes   = "aws_kinesis_incoming_bytes_sum"
	labelStream   = "dimension_StreamName"
	labelShard    = "dimension_ShardId"
	metricPeriod  = 60 // seconds

	metricsPath    = "/metrics"
	metricsTimeout = 2 * time.Second
)

// measured holds rates by stream and shard; the shard of a whole stream is "".
type measured map[[2]string]*Rates

func (m measured) of(stream, shard string) *Rates { return m[[2]string{stream, shard}] }

// Metrics says where a server's /metrics are.
type Metrics struct {
	URL   string // "": nowhere
	Guess bool   // nobody has named it, and a server that has none there is no failure
}

// MetricsURL checks a URL that a user names, and completes one of a server only.
func MetricsURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%q is not of the form http://HOST:PORT/metrics", text)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = metricsPath
	}
	return u.String(), nil
}

// fetch asks for the rates.
func (w Metrics) fetch(ctx context.Context) (measured, error) {
	if w.URL == "" {
		return nil, nil
	}
	m, err := fetchRates(ctx, w.URL)
	if err != nil && w.Guess {
		return nil, nil
	}
	return m, err
}

func fetchRates(ctx context.Context, url string) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for metrics: %s says %s; give the whole URL, such as http://127.0.0.1:9644/metrics", url, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", url, err)
	}
	m := measured{}
	for name, take := range map[string]func(*Rates, float64){
		metricRecords: func(r *Rates, v float64) { r.Records = v },
		metricBytes:   func(r *Rates, v float64) { r.Bytes = v },
	} {
		for _, metric := range families[name].GetMetric() {
			key := [2]string{}
			for _, label := range metric.GetLabel() {
				switch label.GetName() {
				case labelStream:
					key[0] = label.GetValue()
				case labelShard:
					key[1] = label.GetValue()
				}
			}
			if m[key] == nil {
				m[key] = &Rates{}
			}
			take(m[key], metric.GetGauge().GetValue()/metricPeriod)
		}
	}
	return m, nil
}

func (r *Rates) sentence() string {
	return fmt.Sprintf("%.1f records/s, %s/s (last minute)", r.Records, output.Size(int64(r.Bytes)))
}

// cells are those of a table; r may be nil.
func (r *Rates) cells() (records, bytes string) {
	if r == nil {
		return "", ""
	}
	return fmt.Sprintf("%.1f", r.Records), output.Size(int64(r.Bytes))
}

// DefaultMetricsURL is that of a server on this machine, and empty for others,
// which may show their metrics to nobody here.
func DefaultMetricsURL(endpoint string) string {
	rest, ok := strings.CutPrefix(endpoint, "http://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, ":")
	if !isLoopback(host) {
		return ""
	}
	return "http://" + host + ":9644" + metricsPath
}
