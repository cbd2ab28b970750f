package server

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/txn"
)

// txnMetrics are the figures of the transaction coordinator.
type txnMetrics struct{ core *broker.Core }

func (m txnMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m txnMetrics) Collect(ch chan<- prometheus.Metric) {
	e, s := emit(ch), m.core.Transactions.Stats()
	ids := prometheus.NewDesc("streamweir_transactional_ids", "Transactional ids, by the state of their transaction.", []string{"state"}, nil)
	for state := txn.Empty; state <= txn.CompleteAbort; state++ {
		ch <- prometheus.MustNewConstMetric(ids, prometheus.GaugeValue, float64(s.Transactions[state]), strings.ToLower(state.String()))
	}
	e.gauge("transaction_partitions_failed", "Partitions of __transaction_state that could not be loaded: their transactional ids have no coordinator.", float64(len(m.core.Transactions.Failed())))
	e.counter("transaction_producers_total", "Epochs given to producers with a transactional id.", float64(s.Initialized))
	e.counter("transactions_committed_total", "Transactions that were committed in all their partitions.", float64(s.Commits))
	e.counter("transactions_aborted_total", "Transactions that were aborted in all their partitions.", float64(s.Aborts))
	e.counter("transactions_timed_out_total", "Transactions aborted because they were over their timeout.", float64(s.TimedOut))
	e.counter("transactions_fenced_total", "Transactions aborted because a new producer took over their transactional id.", float64(s.Fenced))
	e.counter("transactional_ids_expired_total", "Transactional ids that nobody had used for transactional.id.expiration.ms.", float64(s.Expired))
	e.counter("transaction_markers_total", "Markers written at the end of transactions.", float64(s.Markers))
	e.counter("transaction_markers_failed_total", "Markers that could not be written and were tried again.", float64(s.FailedMarkers))
	e.counter("transaction_appends_failed_total", "Changes of transactions that could not be written.", float64(s.FailedAppends))
}
