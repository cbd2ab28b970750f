package kafkaapi

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/storage"
)

// Fetch, versions 4 to 18, by name and (13+) by topic id, with fetch sessions
// (KIP-227, fetchsession.go).
//
// Where less than min_bytes can be read the call waits on the partitions, not on
// a clock; what it returns is decided when it is sent, by the connection's
// writer. With isolation level read_committed it returns, and waits for, what is
// below the last stable offset, and names the aborted transactions in it. Records are read while they are sent, as whole batches, so that a
// response of 50 MB does not take 50 MB of memory.

// fetch is a Fetch request on its way.
type fetch struct {
	s     *Server
	k     *call
	req   *kmsg.FetchRequest
	parts []*fetchPart
	sess  *session

	readCommitted bool
	maxBytes      int
	watch         *partition.Watch
	timer         *time.Timer
}

// fetchPart is one partition that is asked for.
type fetchPart struct {
	topic   string // empty where the request goes by id
	topicID storage.TopicID
	index   int32

	offset       int64
	epoch        int32
	lastEpoch    int32 // of the last record that the client has, -1 if it does not say
	maxBytes     int32
	lastHigh     int64 // what the session's last response said
	lastStart    int64
	lastHadError bool
}

func (s *Server) fetch(k *call) {
	req := k.req.(*kmsg.FetchRequest)
	f := &fetch{
		s: s, k: k, req: req,
		readCommitted: req.IsolationLevel == 1,
		maxBytes:      int(min(req.MaxBytes, s.cfg.FetchMaxBytes)),
	}
	err := isolationError(req.IsolationLevel)
	if err == nil {
		f.sess, f.parts, err = s.sessions.open(req)
	}
	if err != nil {
		k.reply(refusedFetch(req, err))
		return
	}
	wait := time.Duration(req.MaxWaitMillis) * time.Millisecond
	plans, enough := f.plan()
	if enough || wait <= 0 {
		k.replyStream(f.response(plans))
		return
	}
	f.await(plans, wait)
}

// refusedFetch is the answer to a request that is refused as a whole. Versions
// before 7 can say so of partitions only.
func refusedFetch(req *kmsg.FetchRequest, err error) *kmsg.FetchResponse {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	resp.ErrorCode = errorCode(err)
	if req.Version >= 7 {
		return resp
	}
	for _, part := range partsOf(req) {
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.RecordBatches = part.index, resp.ErrorCode, []byte{}
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = -1, -1, -1
		rt := lastTopic(resp, part)
		rt.Partitions = append(rt.Partitions, rp)
	}
	return resp
}

// plan looks for what can be read now, and whether that is enough to answer. As
// in Apache Kafka, an error of reading is enough, but what does not exist is not,
// as long as there is something else to wait for.
func (f *fetch) plan() (plans []fetchPlan, enough bool) {
	plans = make([]fetchPlan, len(f.parts))
	left, first, total, found := f.maxBytes, true, 0, 0
	for i, part := range f.parts {
		p := &plans[i]
		p.part = part
		if p.find(f); p.err != nil {
			continue
		}
		found++
		limit := min(int(part.maxBytes), left)
		plan := (*partition.Partition).Plan
		if f.readCommitted {
			plan = (*partition.Partition).PlanCommitted
		}
		p.Plan, p.err = plan(p.Partition, part.offset, part.epoch, limit, first)
		if p.err != nil || p.diverging(part) {
			p.Release()
			p.Bytes = 0
			enough = true
			continue
		}
		if p.Bytes > 0 {
			first = false
			total += p.Bytes
			left = max(0, left-p.Bytes)
		}
	}
	return plans, enough || found == 0 || total >= int(f.req.MinBytes)
}

// fetchPlan is what a partition has for a fetch.
type fetchPlan struct {
	partition.Plan
	part     *fetchPart
	err      error
	divEpoch int32
	divEnd   int64
}

func (p *fetchPlan) find(f *fetch) {
	t, err := f.s.topicFor(f.k.version >= 13, p.part.topic, p.part.topicID)
	if err != nil {
		p.err = err
		return
	}
	if p.Partition = f.s.core.Partitions.Get(t.ID, p.part.index); p.Partition == nil {
		p.err = kerr.UnknownTopicOrPartition
	}
}

// diverging finds out whether what the client has read last is not in our log
// (KIP-595); then it is told where the two part, and gets no records.
func (p *fetchPlan) diverging(part *fetchPart) bool {
	p.divEpoch, p.divEnd = -1, -1
	if part.lastEpoch < 0 {
		return false
	}
	epoch, end := p.Partition.EndOffset(part.lastEpoch)
	if epoch == part.lastEpoch && end >= part.offset {
		return false
	}
	p.divEpoch, p.divEnd = epoch, end
	return true
}

// await answers when min_bytes have come, or the time is over.
func (f *fetch) await(plans []fetchPlan, wait time.Duration) {
	// What waits takes no share of the memory for requests.
	f.k.frame.Release()
	need := int64(f.req.MinBytes)
	for i := range plans {
		need -= int64(plans[i].Bytes)
		plans[i].Release() // another one is made when there is enough
	}
	f.watch = partition.NewWatch(need, func() {
		// From whatever goroutine: the reading is left to the writer.
		f.k.replyStream(&fetchStream{prepare: f.prepare})
	})
	f.watch.Committed = f.readCommitted
	f.timer = time.AfterFunc(math.MaxInt64, f.watch.Fire)
	for i := range plans {
		if plans[i].Partition == nil {
			continue // it does not exist
		}
		end := plans[i].Offsets.High
		if f.readCommitted {
			end = plans[i].Offsets.LastStable
		}
		plans[i].Partition.Watch(f.watch, end)
	}
	f.timer.Reset(wait)
	if !f.k.wait(f.watch.Fire) {
		f.watch.Fire()
	}
}

// prepare is called by the writer when a fetch that waited is to be answered.
func (f *fetch) prepare() *fetchStream {
	if f.timer != nil {
		f.timer.Stop()
	}
	plans, _ := f.plan()
	for i := range plans {
		if p := plans[i].Partition; p != nil {
			p.Unwatch(f.watch)
		}
	}
	return f.response(plans)
}

func (f *fetch) response(plans []fetchPlan) *fetchStream {
	resp := f.req.ResponseKind().(*kmsg.FetchResponse)
	out := &fetchStream{resp: resp}
	resp.SessionID = f.sess.responseID()
	f.sess.lock()
	defer f.sess.unlock()
	for i := range plans {
		p := &plans[i]
		if !f.sess.include(p) {
			continue
		}
		rt := lastTopic(resp, p.part)
		rp := kmsg.NewFetchResponseTopicPartition()
		f.fill(&rp, p)
		rt.Partitions = append(rt.Partitions, rp)
		out.plans = append(out.plans, p.Plan)
	}
	f.sess.rotate(plans)
	return out
}

// lastTopic returns the response's entry for a part's topic: partitions of one
// topic that follow each other share it.
func lastTopic(resp *kmsg.FetchResponse, part *fetchPart) *kmsg.FetchResponseTopic {
	if n := len(resp.Topics); n > 0 {
		if t := &resp.Topics[n-1]; t.Topic == part.topic && t.TopicID == part.topicID {
			return t
		}
	}
	t := kmsg.NewFetchResponseTopic()
	t.Topic, t.TopicID = part.topic, part.topicID
	resp.Topics = append(resp.Topics, t)
	return &resp.Topics[len(resp.Topics)-1]
}

func (f *fetch) fill(rp *kmsg.FetchResponseTopicPartition, p *fetchPlan) {
	rp.Partition = p.part.index
	rp.RecordBatches = []byte{}
	rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = -1, -1, -1
	if p.err != nil {
		rp.ErrorCode = errorCode(p.err)
		if f.k.version <= 5 && rp.ErrorCode == kerr.KafkaStorageError.Code {
			// Clients of that age do not know the code and would not try again.
			rp.ErrorCode = kerr.NotLeaderForPartition.Code
		}
		return
	}
	rp.HighWatermark = p.Offsets.High
	rp.LastStableOffset = p.Offsets.LastStable
	rp.LogStartOffset = p.Offsets.Start
	if f.readCommitted {
		rp.AbortedTransactions = make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, len(p.Aborted))
		for i, t := range p.Aborted {
			rp.AbortedTransactions[i].ProducerID, rp.AbortedTransactions[i].FirstOffset = t.ProducerID, t.FirstOffset
		}
	}
	if p.divEnd >= 0 {
		rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = p.divEpoch, p.divEnd
	}
}
