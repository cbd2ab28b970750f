package server

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/group"
)

// groupMetrics are the figures of the group coordinator.
type groupMetrics struct{ core *broker.Core }

func (m groupMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m groupMetrics) Collect(ch chan<- prometheus.Metric) {
	e, s := emit(ch), m.core.Groups.Stats()
	groups := prometheus.NewDesc("streamweir_groups", "Consumer groups, by state.", []string{"state"}, nil)
	for _, state := range []group.State{group.Empty, group.PreparingRebalance, group.CompletingRebalance, group.Stable} {
		ch <- prometheus.MustNewConstMetric(groups, prometheus.GaugeValue, float64(s.Groups[state]), strings.ToLower(state.String()))
	}
	e.gauge("group_members", "Members of consumer groups.", float64(s.Members))
	e.gauge("group_offsets", "Committed offsets that are kept.", float64(s.Offsets))
	e.gauge("group_partitions_failed", "Partitions of __consumer_offsets that could not be loaded: their groups have no coordinator.", float64(len(m.core.Groups.Failed())))
	e.counter("group_rebalances_total", "Rebalances of consumer groups that ended with an assignment.", float64(s.Rebalances))
	e.counter("group_commits_total", "OffsetCommit requests that became durable.", float64(s.Commits))
	e.counter("group_committed_offsets_total", "Offsets in them.", float64(s.CommittedOffsets))
	e.counter("group_offsets_expired_total", "Offsets that nobody had used for offsets.retention.minutes.", float64(s.ExpiredOffsets))
	e.counter("group_offsets_deleted_total", "Offsets deleted on request or with their topic.", float64(s.DeletedOffsets))
	e.counter("group_appends_failed_total", "Changes of groups and offsets that could not be written.", float64(s.FailedAppends))
}
