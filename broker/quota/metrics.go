package quota

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/streamweir/storage"
)

// StreamMetric is a metric that CloudWatch has for a stream.
type StreamMetric uint8

// The metrics of streams.
const (
	GetRecordsBytes StreamMetric = iota
	GetRecordsIteratorAgeMilliseconds
	GetRecordsLatency
	GetRecordsRecords
	GetRecordsSuccess
	IncomingBytes
	IncomingRecords
	PutRecordBytes
	PutRecordLatency
	PutRecordSuccess
	PutRecordsBytes
	PutRecordsLatency
	PutRecordsSuccess
	PutRecordsTotalRecords
	PutRecordsSuccessfulRecords
	PutRecordsFailedRecords
	PutRecordsThrottledRecords
	ReadThroughputExceeded
	WriteThroughputExceeded
	numStreamMetrics
)

// ShardMetric is a metric that CloudWatch has for a shard, where enhanced
// monitoring is enabled.
type ShardMetric uint8

// The metrics of shards.
const (
	ShardIncomingBytes ShardMetric = iota
	ShardIncomingRecords
	ShardIteratorAgeMilliseconds
	ShardOutgoingBytes
	ShardOutgoingRecords
	ShardReadThroughputExceeded
	ShardWriteThroughputExceeded
	numShardMetrics
)

// ConsumerMetric is a metric that CloudWatch has for a consumer of a stream.
type ConsumerMetric uint8

// The metrics of consumers.
const (
	ConsumerSuccess ConsumerMetric = iota
	ConsumerRateExceeded
	ConsumerEventBytes
	ConsumerEventMillisBehindLatest
	ConsumerEventRecords
	ConsumerEventSuccess
	numConsumerMetrics
)

// Names of the metrics in CloudWatch.
var (
	streamMetricNames = [numStreamMetrics]string{
		GetRecordsBytes:                   "GetRecords.Bytes",
		GetRecordsIteratorAgeMilliseconds: "GetRecords.IteratorAgeMilliseconds",
		GetRecordsLatency:                 "GetRecords.Latency",
		GetRecordsRecords:                 "GetRecords.Records",
		GetRecordsSuccess:                 "GetRecords.Success",
		IncomingBytes:                     "IncomingBytes",
		IncomingRecords:                   "IncomingRecords",
		PutRecordBytes:                    "PutRecord.Bytes",
		PutRecordLatency:                  "PutRecord.Latency",
		PutRecordSuccess:                  "PutRecord.Success",
		PutRecordsBytes:                   "PutRecords.Bytes",
		PutRecordsLatency:                 "PutRecords.Latency",
		PutRecordsSuccess:                 "PutRecords.Success",
		PutRecordsTotalRecords:            "PutRecords.TotalRecords",
		PutRecordsSuccessfulRecords:       "PutRecords.SuccessfulRecords",
		PutRecordsFailedRecords:           "PutRecords.FailedRecords",
		PutRecordsThrottledRecords:        "PutRecords.ThrottledRecords",
		ReadThroughputExceeded:            "ReadProvisionedThroughputExceeded",
		WriteThroughputExceeded:           "WriteProvisionedThroughputExceeded",
	}
	shardMetricNames = [numShardMetrics]string{
		ShardIncomingBytes:           "IncomingBytes",
		ShardIncomingRecords:         "IncomingRecords",
		ShardIteratorAgeMilliseconds: "IteratorAgeMilliseconds",
		ShardOutgoingBytes:           "OutgoingBytes",
		ShardOutgoingRecords:         "OutgoingRecords",
		ShardReadThroughputExceeded:  "ReadProvisionedThroughputExceeded",
		ShardWriteThroughputExceeded: "WriteProvisionedThroughputExceeded",
	}
	consumerMetricNames = [numConsumerMetrics]string{
		ConsumerSuccess:                 "SubscribeToShard.Success",
		ConsumerRateExceeded:            "SubscribeToShard.RateExceeded",
		ConsumerEventBytes:              "SubscribeToShardEvent.Bytes",
		ConsumerEventMillisBehindLatest: "SubscribeToShardEvent.MillisBehindLatest",
		ConsumerEventRecords:            "SubscribeToShardEvent.Records",
		ConsumerEventSuccess:            "SubscribeToShardEvent.Success",
	}
)

// exportedName is a metric's name as exporters of CloudWatch metrics write it:
// GetRecords.Bytes becomes aws_kinesis_get_records_bytes.
func exportedName(name string) string {
	var b strings.Builder
	b.WriteString("aws_kinesis")
	word := false // within a word
	for _, r := range name {
		if r == '.' {
			word = false
			continue
		}
		if lower := r | 0x20; r != lower || !word {
			b.WriteByte('_')
			r = lower
		}
		b.WriteRune(r)
		word = true
	}
	return b.String()
}

// Collector shows the metrics of the last whole minute, as exporters of
// CloudWatch show them. A metric without values in that minute is not shown, as
// it has no data point there.
type Collector struct {
	m *Manager
	// shardLevel returns the shard-level metrics that a stream shows, by their
	// names in EnableEnhancedMonitoring.
	shardLevel func(storage.TopicID) []string
}

// NewCollector makes a collector.
func NewCollector(m *Manager, shardLevel func(storage.TopicID) []string) *Collector {
	return &Collector{m: m, shardLevel: shardLevel}
}

// Describe implements prometheus.Collector: what there is depends on the streams.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	minute := minuteOf(c.m.now())
	c.m.mu.RLock()
	streams := maps.Clone(c.m.streams)
	c.m.mu.RUnlock()
	for id, s := range streams {
		s.collect(ch, minute, c.shardLevel(id))
	}
}

func (s *Stream) collect(ch chan<- prometheus.Metric, minute int64, shardLevel []string) {
	var own [numStreamMetrics]Statistics
	s.mu.Lock()
	for i := range s.meters {
		own[i] = s.meters[i].whole(minute)
	}
	shards, consumers := maps.Clone(s.shards), maps.Clone(s.consumers)
	s.mu.Unlock()
	stream := label{"dimension_StreamName", s.name}
	for i, st := range own {
		show(ch, streamMetricNames[i], st, stream)
	}
	for name, c := range consumers {
		var st [numConsumerMetrics]Statistics
		c.mu.Lock()
		for i := range c.meters {
			st[i] = c.meters[i].whole(minute)
		}
		c.mu.Unlock()
		for i := range st {
			show(ch, consumerMetricNames[i], st[i], stream, label{"dimension_ConsumerName", name})
		}
	}
	if len(shardLevel) == 0 {
		return
	}
	for index, sh := range shards {
		var st [numShardMetrics]Statistics
		sh.mu.Lock()
		for i := range sh.meters {
			st[i] = sh.meters[i].whole(minute)
		}
		sh.mu.Unlock()
		for i, name := range shardMetricNames {
			if slices.Contains(shardLevel, name) {
				show(ch, name, st[i], stream, label{"dimension_ShardId", shardID(index)})
			}
		}
	}
}

func shardID(index int32) string {
	digits := strconv.Itoa(int(index))
	return "shardId-" + strings.Repeat("0", max(0, 12-len(digits))) + digits
}

type label struct{ name, value string }

func show(ch chan<- prometheus.Metric, metric string, s Statistics, labels ...label) {
	if s.Count == 0 {
		return
	}
	slices.SortFunc(labels, func(a, b label) int { return cmp.Compare(a.name, b.name) })
	names, values := make([]string, len(labels)), make([]string, len(labels))
	for i, l := range labels {
		names[i], values[i] = l.name, l.value
	}
	name := exportedName(metric)
	for _, v := range []struct {
		statistic string
		value     float64
	}{
		{"sum", s.Sum}, {"average", s.Sum / s.Count}, {"maximum", s.Max}, {"minimum", s.Min}, {"sample_count", s.Count},
	} {
		help := metric + " of the last whole minute, as CloudWatch has it."
		desc := prometheus.NewDesc(name+"_"+v.statistic, help, names, nil)
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v.value, values...)
	}
}
