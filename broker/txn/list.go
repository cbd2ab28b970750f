package txn

import (
	"maps"
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxPattern is the longest pattern (bytes): what a pattern makes of memory and
// time grows with it, up to a thousand times its length.
const maxPattern = 1024

// A filter is what ListTransactions asks for. Without conditions it lets all
// pass.
type filter struct {
	producerIDs map[int64]bool
	byState     bool
	states      [states]bool
	durationMs  int64 // open for longer than that; negative for all
	pattern     *regexp.Regexp
}

// newFilter reads a request; unknown are names of states that there are not.
func newFilter(req *kmsg.ListTransactionsRequest) (f filter, unknown []string, err *kerr.Error) {
	f = filter{producerIDs: map[int64]bool{}, byState: len(req.StateFilters) > 0, durationMs: -1}
	for _, id := range req.ProducerIDFilters {
		f.producerIDs[id] = true
	}
	for _, name := range req.StateFilters {
		if state, ok := stateNamed(name); ok {
			f.states[state] = true
		} else {
			unknown = append(unknown, clone(name))
		}
	}
	if req.Version >= 1 {
		f.durationMs = req.DurationFilterMillis
	}
	if p := req.TransactionalIDPattern; req.Version >= 2 && p != nil && *p != "" {
		if len(*p) > maxPattern {
			return f, unknown, kerr.InvalidRegularExpression
		}
		// Apache Kafka takes Java's patterns, and the whole id has to match.
		re, e := regexp.Compile("^(?:" + *p + ")$")
		if e != nil {
			return f, unknown, kerr.InvalidRegularExpression
		}
		f.pattern = re
	}
	return f, unknown, nil
}

func (f *filter) passes(t *transaction, now int64) bool {
	switch {
	case len(f.producerIDs) > 0 && !f.producerIDs[t.producerID],
		f.byState && !f.states[t.state],
		f.durationMs >= 0 && now-t.started <= f.durationMs,
		f.pattern != nil && !f.pattern.MatchString(t.id):
		return false
	}
	return true
}

// list serves ListTransactions.
func (s *shard) list(now int64, f *filter) []kmsg.ListTransactionsResponseTransactionState {
	var out []kmsg.ListTransactionsResponseTransactionState
	for _, t := range sorted(maps.Values(s.txns)) {
		if t.epoch == noProducerEpoch || !f.passes(t, now) {
			continue
		}
		ts := kmsg.NewListTransactionsResponseTransactionState()
		ts.TransactionalID, ts.ProducerID, ts.TransactionState = t.id, t.producerID, t.state.String()
		out = append(out, ts)
	}
	return out
}

// describe serves DescribeTransactions for one id. Of a transaction that ends
// it names the partitions that lack their marker.
func (s *shard) describe(id string) kmsg.DescribeTransactionsResponseTransactionState {
	d := kmsg.NewDescribeTransactionsResponseTransactionState()
	d.TransactionalID = clone(id)
	t := s.get(id)
	if t == nil {
		d.ErrorCode = kerr.TransactionalIDNotFound.Code
		return d
	}
	d.State, d.ProducerID, d.ProducerEpoch = t.state.String(), t.producerID, t.epoch
	d.TimeoutMillis, d.StartTimestamp = t.timeoutMs, t.started
	ps := t.partitions
	if t.ending != nil {
		ps = partitions(nil).with(inOrder(t.ending.left))
	}
	for i := range ps {
		topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
		topic.Topic, topic.Partitions = ps[i].topic, ps[i].indexes
		d.Topics = append(d.Topics, topic)
	}
	return d
}
