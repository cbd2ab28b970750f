package kafkaapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metrics are the front's own. Those of the core are counted there.
type metrics struct {
	connections    prometheus.Gauge
	rejected       prometheus.Counter
	protocolErrors prometheus.Counter
	panics         prometheus.Counter
	memoryWaits    prometheus.Counter
	slowRequests   prometheus.Counter
	answerWaits    prometheus.Counter
	slowReaders    prometheus.Counter
	bytesIn        prometheus.Counter
	bytesOut       prometheus.Counter
	// byKey holds what each API key takes, found without a look-up.
	byKey    [maxKey]prometheus.Observer
	duration *prometheus.HistogramVec
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "streamweir", Subsystem: "kafka", Name: name, Help: help})
	}
	m := &metrics{
		connections:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "streamweir", Subsystem: "kafka", Name: "connections", Help: "Open connections."}),
		rejected:       counter("connections_rejected_total", "Connections closed at once because a limit was reached."),
		protocolErrors: counter("protocol_errors_total", "Connections closed because of bytes that break the protocol."),
		panics:         counter("handler_panics_total", "Connections closed because a handler failed: bugs of the server."),
		memoryWaits:    counter("memory_waits_total", "Waits of requests for memory (queued.max.request.bytes)."),
		slowRequests:   counter("slow_requests_closed_total", "Connections closed because their request arrived too slowly while others waited for memory."),
		answerWaits:    counter("response_memory_waits_total", "Waits for memory for responses (queued.max.response.bytes)."),
		slowReaders:    counter("slow_readers_closed_total", "Connections closed because they did not read a response while others waited for memory."),
		bytesIn:        counter("received_bytes_total", "Bytes of requests."),
		bytesOut:       counter("sent_bytes_total", "Bytes of responses."),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "streamweir", Subsystem: "kafka", Name: "request_seconds",
			Help:    "Time from a request's last byte to its response, waits included.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}, []string{"api"}),
	}
	for key, h := range handlers {
		if h != nil {
			m.byKey[key] = m.duration.WithLabelValues(kmsg.NameForKey(int16(key)))
		}
	}
	return m
}

func (m *metrics) done(k *call) {
	m.byKey[k.key].Observe(time.Since(k.start).Seconds())
}

// Describe and Collect make a Server a prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	m := s.metrics
	for _, c := range []prometheus.Collector{
		m.connections, m.rejected, m.protocolErrors, m.panics, m.memoryWaits, m.slowRequests,
		m.answerWaits, m.slowReaders, m.bytesIn, m.bytesOut, m.duration,
	} {
		c.Collect(ch)
	}
	requests := s.intakes.Used() + s.aside.Used() + s.asideForPlaces.Used()
	gauge := func(name, help string, v int64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("streamweir_kafka_"+name, help, nil, nil), prometheus.GaugeValue, float64(v))
	}
	gauge("request_memory_bytes", "Memory that requests take (queued.max.request.bytes).", requests)
	gauge("response_memory_bytes", "Memory that requests and their responses take until those are sent (queued.max.response.bytes).", s.answers.budget.Used())
	gauge("responses_making", "Large responses that are made, of 2 at a time; more wait.", int64(len(s.answers.making)))
}
