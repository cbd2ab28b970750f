package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/streamweir/broker"
)

// streamMetrics are the figures of the life of streams.
type streamMetrics struct{ core *broker.Core }

func (m streamMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m streamMetrics) Collect(ch chan<- prometheus.Metric) {
	e, s := emit(ch), m.core.Streams.Stats()
	e.gauge("streams", "Streams of the Kinesis API, topics of Kafka's included.", float64(s.Streams))
	e.gauge("streams_changing", "Streams that are CREATING, UPDATING or DELETING.", float64(s.Changing))
	e.gauge("open_shards", "Open shards of all streams.", float64(s.OpenShards))
	e.gauge("stream_consumers", "Registered consumers with enhanced fan-out.", float64(s.Consumers))
	e.counter("reshards_total", "Splits, merges and updates of the shard count that are done.", float64(s.Reshards))
	e.counter("stream_retries_total", "Changes of streams that could not be finished when they were due, and were tried again.", float64(s.Retries))
}
