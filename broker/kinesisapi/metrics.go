package kinesisapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the front's own.
type metrics struct {
	connections      prometheus.Gauge
	rejected         prometheus.Counter
	rejectedRequests prometheus.Counter
	brokenRequests   prometheus.Counter
	slowRequests     prometheus.Counter
	brokenResponses  prometheus.Counter
	slowResponses    prometheus.Counter
	panics           prometheus.Counter
	memoryWaits      prometheus.Counter
	bytesIn          prometheus.Counter
	bytesOut         prometheus.Counter
	duration         *prometheus.HistogramVec
	errors           *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "streamweir", Subsystem: "aws", Name: name, Help: help})
	}
	return &metrics{
		connections:      prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "streamweir", Subsystem: "aws", Name: "connections", Help: "Open connections."}),
		rejected:         counter("connections_rejected_total", "Connections closed at once because aws.max.connections was reached."),
		rejectedRequests: counter("requests_rejected_total", "Requests refused because of aws.max.requests or aws.request.max.bytes."),
		brokenRequests:   counter("requests_broken_total", "Requests that did not arrive whole or in time."),
		slowRequests:     counter("requests_slow_total", "Requests cut off because they arrived slowly while others waited for memory."),
		brokenResponses:  counter("responses_broken_total", "Responses that their clients did not read."),
		slowResponses:    counter("responses_slow_total", "Responses cut off because their clients did not read them while others waited for memory or a place."),
		panics:           counter("handler_panics_total", "Requests cut off because a handler failed: bugs of the server."),
		memoryWaits:      counter("memory_waits_total", "Requests that had to wait for memory (aws.queued.max.bytes)."),
		bytesIn:          counter("received_bytes_total", "Bytes of request bodies."),
		bytesOut:         counter("sent_bytes_total", "Bytes of response bodies."),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "streamweir", Subsystem: "aws", Name: "request_seconds",
			Help:    "Time from a request's last byte to the end of its response.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300},
		}, []string{"action"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "streamweir", Subsystem: "aws", Name: "errors_total",
			Help: "Requests that were answered with an error, by its type.",
		}, []string{"action", "error"}),
	}
}

func (m *metrics) done(action string, start time.Time) {
	m.duration.WithLabelValues(action).Observe(time.Since(start).Seconds())
}

func (m *metrics) failed(action, kind string) { m.errors.WithLabelValues(action, kind).Inc() }

// Describe and Collect make a Server a prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	m := s.metrics
	for _, c := range []prometheus.Collector{
		m.connections, m.rejected, m.rejectedRequests, m.brokenRequests, m.slowRequests, m.brokenResponses, m.slowResponses,
		m.panics, m.memoryWaits, m.bytesIn, m.bytesOut, m.duration, m.errors,
	} {
		c.Collect(ch)
	}
}
