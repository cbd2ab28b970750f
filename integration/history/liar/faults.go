package liar

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Names are all faults.
func Names() []string {
	return slices.Concat(slices.Sorted(maps.Keys(faults)), slices.Sorted(maps.Keys(httpFaults)))
}

// faults by name. What each makes of a broker is said beside it.
var faults = map[string]fault{
	// A batch that was acknowledged is never served.
	"lose-batch": inFetch(func(l *Liar, v *view) {
		v.drop(func(i int, b batch) bool { return i > 0 && chosen(b, 11) })
	}),
	// The first readers pass over a batch, later ones get it.
	"skip-batch": inFetch(func(l *Liar, v *view) {
		v.drop(func(i int, b batch) bool { return i > 0 && chosen(b, 5) && l.count(v.place(b)) <= 2 })
	}),
	// A byte of a value changes, and the batch's checksum is right.
	"alter-byte": inFetch(func(l *Liar, v *view) {
		for _, b := range v.batches {
			if b.plain() && !b.control() && len(b) > headerSize+60 && chosen(b, 7) {
				b[len(b)-30] ^= 0x01 // in the last record's value
				b.sign()
			}
		}
	}),
	// Two batches of a producer change places.
	"swap-batches": inFetch(func(l *Liar, v *view) {
		for i := 0; i+1 < len(v.batches); i++ {
			a, b := v.batches[i], v.batches[i+1]
			if a.producer() >= 0 && a.producer() == b.producer() && a.records() == b.records() && !a.control() && !b.control() {
				v.batches[i], v.batches[i+1] = b.at(a.base()), a.at(b.base())
				i++
			}
		}
	}),
	// A later batch is one that was served before.
	"repeat-batch": inFetch(func(l *Liar, v *view) {
		for i := 0; i+1 < len(v.batches); i++ {
			a, b := v.batches[i], v.batches[i+1]
			if a.producer() >= 0 && a.records() == b.records() && !a.control() && !b.control() && chosen(b, 3) {
				v.batches[i+1] = a.at(b.base())
			}
		}
	}),
	// A batch of another partition.
	"stray-batch": inFetch(func(l *Liar, v *view) {
		for i, b := range v.batches {
			if b.control() {
				continue
			}
			other := l.keep(fmt.Sprintf("%x", v.topic), fmt.Sprint(v.partition), b)
			if other != nil && other.records() == b.records() && chosen(b, 3) {
				v.batches[i] = other.at(b.base())
			}
		}
	}),
	// Who asks for an offset the second time gets something else.
	"two-values": inFetch(func(l *Liar, v *view) {
		for i := 1; i < len(v.batches); i++ {
			a, b := v.batches[i-1], v.batches[i]
			if a.records() == b.records() && !a.control() && !b.control() && l.count(v.place(b)) > 1 {
				v.batches[i] = a.at(b.base())
			}
		}
	}),
	// A consumer is told that its position does not exist.
	"out-of-range": inFetch(func(l *Liar, v *view) {
		if len(v.batches) > 0 && v.batches[0].base() > 20 && l.count("fetches")%20 == 0 {
			v.batches, v.answer.ErrorCode = nil, kerr.OffsetOutOfRange.Code
		}
	}),
	// Partition 1 shows nothing new.
	"hide-end": inFetch(func(l *Liar, v *view) {
		if v.partition == 1 {
			v.drop(func(_ int, b batch) bool { return b.base() > 20 })
		}
	}),
	// Partition 1 shows nothing new to those who read committed records.
	"stick-lso": inFetch(func(l *Liar, v *view) {
		if v.partition == 1 && v.committed {
			v.drop(func(_ int, b batch) bool { return b.base() > 20 })
		}
	}),
	// Aborted records are not marked as such.
	"show-aborted": inFetch(func(l *Liar, v *view) { v.answer.AbortedTransactions = nil }),
	// Committed transactions are marked as aborted in partition 1.
	"half-commit": inFetch(func(l *Liar, v *view) {
		if v.partition != 1 || !v.committed {
			return
		}
		for _, b := range v.batches {
			if b.transactional() && !b.control() {
				a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				a.ProducerID, a.FirstOffset = b.producer(), b.base()
				v.answer.AbortedTransactions = append(v.answer.AbortedTransactions, a)
			}
		}
	}),
	// Tombstones go before what they delete.
	"lose-tombstones": inFetch(func(l *Liar, v *view) {
		v.drop(func(i int, b batch) bool { return b.tombstone() })
	}),
	// Those who read committed records get all of them.
	"show-uncommitted": {keys: []kmsg.Key{kmsg.Fetch}, before: func(l *Liar, req kmsg.Request) bool {
		req.(*kmsg.FetchRequest).IsolationLevel = 0
		return true
	}},
	// Idempotent batches lose what makes them so.
	"forget-producers": {keys: []kmsg.Key{kmsg.Produce}, before: func(l *Liar, req kmsg.Request) bool {
		eachProduced(req.(*kmsg.ProduceRequest), func(b batch) {
			if !b.transactional() {
				for i := posProducer; i < posSequence+4; i++ {
					b[i] = 0xff
				}
				b.sign()
			}
		})
		return true
	}},
	// Some acknowledgements name an earlier offset.
	"wrong-offset": {keys: []kmsg.Key{kmsg.Produce}, after: func(l *Liar, _ kmsg.Request, resp kmsg.Response) {
		eachAcknowledged(resp.(*kmsg.ProduceResponse), func(p *kmsg.ProduceResponseTopicPartition) {
			if p.BaseOffset > 10 && l.count("answers")%10 == 0 {
				p.BaseOffset -= 5
			}
		})
	}},
	// Some records are refused, and stored.
	"refuse-stored": {keys: []kmsg.Key{kmsg.Produce}, after: func(l *Liar, _ kmsg.Request, resp kmsg.Response) {
		eachAcknowledged(resp.(*kmsg.ProduceResponse), func(p *kmsg.ProduceResponseTopicPartition) {
			if l.count("answers")%10 == 0 {
				p.ErrorCode, p.BaseOffset = kerr.MessageTooLarge.Code, -1
			}
		})
	}},
	// After a while no produce request is answered.
	"stick-writes": {keys: []kmsg.Key{kmsg.Produce}, before: func(l *Liar, _ kmsg.Request) bool {
		return l.count("requests") < 50
	}},
	// The log's end is behind.
	"stale-end": {keys: []kmsg.Key{kmsg.ListOffsets}, after: func(l *Liar, _ kmsg.Request, resp kmsg.Response) {
		for i := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for j := range resp.(*kmsg.ListOffsetsResponse).Topics[i].Partitions {
				if p := &resp.(*kmsg.ListOffsetsResponse).Topics[i].Partitions[j]; p.Offset > 30 && l.count("answers")%7 == 0 {
					p.Offset -= 20
				}
			}
		}
	}},
	// Committed offsets are forgotten.
	"forget-commit": inOffsetFetch(func(l *Liar, p *kmsg.OffsetFetchResponseGroupTopicPartition) {
		if p.Offset > 3 && l.count("answers")%5 == 0 {
			p.Offset = -1
		}
	}),
	// Committed offsets go back.
	"old-commit": inOffsetFetch(func(l *Liar, p *kmsg.OffsetFetchResponseGroupTopicPartition) {
		if p.Offset > 3 && l.count("answers")%5 == 0 {
			p.Offset -= 2
		}
	}),
	// Groups rebalance for ever.
	"stick-group": {keys: []kmsg.Key{kmsg.SyncGroup}, after: func(l *Liar, _ kmsg.Request, resp kmsg.Response) {
		r := resp.(*kmsg.SyncGroupResponse)
		r.ErrorCode, r.MemberAssignment = kerr.RebalanceInProgress.Code, nil
	}},
	// A fenced producer is told that it has committed.
	"commit-fenced": {keys: []kmsg.Key{kmsg.EndTxn}, after: func(l *Liar, _ kmsg.Request, resp kmsg.Response) {
		resp.(*kmsg.EndTxnResponse).ErrorCode = 0
	}},
	// Transactions that are to be aborted are committed.
	"commit-aborted": {keys: []kmsg.Key{kmsg.EndTxn}, before: func(l *Liar, req kmsg.Request) bool {
		req.(*kmsg.EndTxnRequest).Commit = true
		return true
	}},
	// Offsets of transactions are acknowledged and thrown away.
	"lose-txn-offsets": {keys: []kmsg.Key{kmsg.TxnOffsetCommit},
		before: func(l *Liar, req kmsg.Request) bool {
			req.(*kmsg.TxnOffsetCommitRequest).Topics = nil
			return true
		},
		after: func(l *Liar, req kmsg.Request, resp kmsg.Response) {
			out := resp.(*kmsg.TxnOffsetCommitResponse)
			for _, t := range req.(*kmsg.TxnOffsetCommitRequest).Topics {
				rt := kmsg.NewTxnOffsetCommitResponseTopic()
				rt.Topic = t.Topic
				for _, p := range t.Partitions {
					rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
					rp.Partition = p.Partition
					rt.Partitions = append(rt.Partitions, rp)
				}
				out.Topics = append(out.Topics, rt)
			}
		}},
}

// view is what a fetch is answered for one partition.
type view struct {
	topic     [16]byte
	partition int32
	committed bool // the client reads committed records only
	batches   []batch
	answer    *kmsg.FetchResponseTopicPartition
}

func (v *view) place(b batch) string { return place(v.topic, v.partition, b.base()) }

// drop takes batches out.
func (v *view) drop(which func(i int, b batch) bool) {
	i := -1
	v.batches = slices.DeleteFunc(v.batches, func(b batch) bool {
		i++
		return which(i, b)
	})
}

// chosen picks one batch in n, always the same ones.
func chosen(b batch, n int64) bool { return !b.control() && b.base()%n == n-1 }

// inFetch is a fault in what Fetch returns.
func inFetch(change func(*Liar, *view)) fault {
	return fault{keys: []kmsg.Key{kmsg.Fetch}, after: func(l *Liar, req kmsg.Request, resp kmsg.Response) {
		topics := resp.(*kmsg.FetchResponse).Topics
		for i := range topics {
			t := &topics[i]
			for j := range t.Partitions {
				p := &t.Partitions[j]
				v := &view{
					topic: t.TopicID, partition: p.Partition, committed: req.(*kmsg.FetchRequest).IsolationLevel == 1,
					batches: split(p.RecordBatches), answer: p,
				}
				change(l, v)
				p.RecordBatches = join(v.batches)
			}
		}
	}}
}

// inOffsetFetch is a fault in a group's committed offsets.
func inOffsetFetch(change func(*Liar, *kmsg.OffsetFetchResponseGroupTopicPartition)) fault {
	return fault{keys: []kmsg.Key{kmsg.OffsetFetch}, after: func(l *Liar, _ kmsg.Request, resp kmsg.Response) {
		for i := range resp.(*kmsg.OffsetFetchResponse).Groups {
			g := &resp.(*kmsg.OffsetFetchResponse).Groups[i]
			for j := range g.Topics {
				for k := range g.Topics[j].Partitions {
					change(l, &g.Topics[j].Partitions[k])
				}
			}
		}
	}}
}

func eachProduced(req *kmsg.ProduceRequest, fn func(batch)) {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			for _, b := range split(req.Topics[i].Partitions[j].Records) {
				fn(b)
			}
		}
	}
}

func eachAcknowledged(resp *kmsg.ProduceResponse, fn func(*kmsg.ProduceResponseTopicPartition)) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.ErrorCode == 0 {
				fn(p)
			}
		}
	}
}

// keep remembers a batch of a partition and returns one of another partition of
// the same topic, nil where there is none.
func (l *Liar) keep(topic, partition string, b batch) (other batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for of, kept := range l.kept {
		if of != topic+partition && len(of) > len(topic) && of[:len(topic)] == topic && kept.records() == b.records() {
			other = kept
		}
	}
	l.kept[topic+partition] = append(batch(nil), b...)
	return other
}
