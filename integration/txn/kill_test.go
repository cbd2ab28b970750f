package txn

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// A script is one transaction, request by request: two partitions, the offset of
// a group, and a commit or an abort.
type script struct {
	t      *testing.T
	s      *harness.Server
	c      *harness.Conn
	v2     bool // transaction version 2
	commit bool
	topic  string
	group  string
	id     string

	producerID int64
	epoch      int16
	asked      bool // the end was sent
	said       bool // and was answered
}

// A step is one request, and what its answer has to say.
type step struct {
	name string
	req  func() kmsg.Request
	took func(kmsg.Response) int16 // takes the answer over; its error code
}

// at is a version for either transaction version.
func (x *script) at(v0, v2 int16) int16 {
	if x.v2 {
		return v2
	}
	return v0
}

func (x *script) steps() []step {
	init := step{"init", func() kmsg.Request { return x.init() }, func(r kmsg.Response) int16 {
		a := r.(*kmsg.InitProducerIDResponse)
		x.producerID, x.epoch = a.ProducerID, a.ProducerEpoch
		return a.ErrorCode
	}}
	produce := func(p int32) step {
		return step{fmt.Sprint("produce ", p), func() kmsg.Request { return x.produce(p) }, func(r kmsg.Response) int16 {
			return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
		}}
	}
	add := step{"add partitions", func() kmsg.Request {
		req := harness.At(kmsg.NewPtrAddPartitionsToTxnRequest(), 3)
		req.TransactionalID, req.ProducerID, req.ProducerEpoch = x.id, x.producerID, x.epoch
		req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: x.topic, Partitions: []int32{0, 1}}}
		return req
	}, func(r kmsg.Response) int16 {
		return r.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[1].ErrorCode
	}}
	addOffsets := step{"add offsets", func() kmsg.Request {
		req := harness.At(kmsg.NewPtrAddOffsetsToTxnRequest(), 3)
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = x.id, x.producerID, x.epoch, x.group
		return req
	}, func(r kmsg.Response) int16 { return r.(*kmsg.AddOffsetsToTxnResponse).ErrorCode }}
	offsets := step{"commit offsets", func() kmsg.Request { return x.offsets() }, func(r kmsg.Response) int16 {
		return r.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
	}}
	end := step{"end", func() kmsg.Request {
		x.asked = true
		req := harness.At(kmsg.NewPtrEndTxnRequest(), x.at(4, 5))
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = x.id, x.producerID, x.epoch, x.commit
		return req
	}, func(r kmsg.Response) int16 {
		a := r.(*kmsg.EndTxnResponse)
		x.said = a.ErrorCode == 0
		return a.ErrorCode
	}}
	if x.v2 {
		return []step{init, produce(0), produce(1), offsets, end}
	}
	return []step{init, add, produce(0), produce(1), addOffsets, offsets, end}
}

func (x *script) init() *kmsg.InitProducerIDRequest {
	req := harness.At(kmsg.NewPtrInitProducerIDRequest(), 4)
	req.TransactionalID, req.TransactionTimeoutMillis = &x.id, 60_000
	return req
}

func (x *script) produce(p int32) *kmsg.ProduceRequest {
	b := harness.Batch{
		Records: harness.Values(x.id), Attributes: transactional, Idempotent: true, ProducerID: x.producerID, ProducerEpoch: x.epoch,
	}
	req := harness.At(kmsg.NewPtrProduceRequest(), x.at(11, 12))
	req.TransactionID, req.Acks, req.TimeoutMillis = &x.id, -1, 30_000
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = p, b.Encode()
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: x.topic, Partitions: []kmsg.ProduceRequestTopicPartition{rp}}}
	return req
}

// transactional is the bit of a batch's attributes.
const transactional = 1 << 4

func (x *script) offsets() *kmsg.TxnOffsetCommitRequest {
	req := harness.At(kmsg.NewPtrTxnOffsetCommitRequest(), x.at(4, 5))
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = x.id, x.group, x.producerID, x.epoch, -1
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset = 0, 42
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: x.topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{rp}}}
	return req
}

// ask sends a step's request until its answer is not that something is about to
// be ready.
func (x *script) ask(st step) {
	x.t.Helper()
	harness.Eventually(x.t, harness.Long, st.name, func() error {
		resp, err := x.c.RoundTrip(st.req())
		if err != nil {
			x.t.Fatalf("%s: %v", st.name, err)
		}
		code := st.took(resp)
		switch err := kerr.ErrorForCode(code); err {
		case nil:
			return nil
		case kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.ConcurrentTransactions, kerr.NotEnoughReplicas:
			return err
		default:
			x.t.Fatalf("%s: %v", st.name, err)
			return err
		}
	})
}

// find creates the coordinators' topics.
func (x *script) find() {
	x.t.Helper()
	for kind, key := range []string{x.group, x.id} {
		harness.Eventually(x.t, harness.Long, "a coordinator", func() error {
			req := harness.At(kmsg.NewPtrFindCoordinatorRequest(), 3)
			req.CoordinatorKey, req.CoordinatorType = key, int8(kind)
			return kerr.ErrorForCode(harness.Ask[*kmsg.FindCoordinatorResponse](x.t, x.c, req).ErrorCode)
		})
	}
}

// The server is killed before and after the answer to every request of a
// transaction. Then a new producer takes the id, and the transaction is there as
// a whole or not at all, and as its producer was told.
func TestKillAtEveryStep(t *testing.T) {
	s := harness.Start(t)
	for _, v2 := range []bool{true, false} {
		for _, commit := range []bool{true, false} {
			steps := len((&script{v2: v2}).steps())
			for i := range steps {
				for _, answered := range []bool{false, true} {
					x := &script{t: t, s: s, v2: v2, commit: commit}
					x.run(i, answered)
				}
			}
		}
	}
}

func (x *script) run(last int, answered bool) {
	x.topic, x.group, x.id = harness.Topic(x.t, x.s, 2), harness.Name(x.t, "g"), harness.Name(x.t, "id")
	x.c = harness.Dial(x.t, x.s)
	x.find()
	var name string
	for i, st := range x.steps()[:last+1] {
		name = st.name
		if i < last || answered {
			x.ask(st)
			continue
		}
		if _, err := x.c.Send(st.req()); err != nil {
			x.t.Fatal(err)
		}
	}
	x.s.Kill(x.t)
	x.s.StartAgain(x.t)
	name = fmt.Sprintf("version 2: %v, commit: %v, killed at %q, answered: %v", x.v2, x.commit, name, answered)
	x.c = harness.Dial(x.t, x.s)
	old, oldEpoch := x.producerID, x.epoch
	x.ask(x.steps()[0]) // a new producer; it waits for the end of the transaction
	if old == x.producerID && last > 0 && x.epoch <= oldEpoch {
		x.t.Errorf("%s: the new producer has epoch %d, the one before had %d", name, x.epoch, oldEpoch)
	}
	wait(x.t, x.s, x.topic)
	got := read(x.t, x.s, x.topic, true)
	offset := x.committed()
	all := slices.Equal(got, []string{x.id, x.id}) && offset == 42
	none := len(got) == 0 && offset == -1
	switch {
	case !all && !none:
		x.t.Errorf("%s: half visible: %q and offset %d", name, got, offset)
	case x.said && x.commit && !all:
		x.t.Errorf("%s: committed, and not visible", name)
	case (!x.asked || !x.commit) && !none:
		x.t.Errorf("%s: never committed, and visible", name)
	}
	if err := x.fenced(old, oldEpoch); last > 0 && err != nil {
		x.t.Errorf("%s: %v", name, err)
	}
}

// committed is the group's offset, -1 for none.
func (x *script) committed() int64 {
	x.t.Helper()
	offset := int64(-1)
	harness.Eventually(x.t, harness.Long, "the group's offsets", func() error {
		req := harness.At(kmsg.NewPtrOffsetFetchRequest(), 8)
		req.RequireStable = true
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberEpoch = x.group, -1
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: x.topic, Partitions: []int32{0}}}
		req.Groups = append(req.Groups, g)
		r := harness.Ask[*kmsg.OffsetFetchResponse](x.t, x.c, req).Groups[0]
		if r.ErrorCode != 0 {
			return kerr.ErrorForCode(r.ErrorCode)
		}
		p := r.Topics[0].Partitions[0]
		offset = p.Offset
		return kerr.ErrorForCode(p.ErrorCode)
	})
	return offset
}

// fenced tries to go on as the producer of before.
func (x *script) fenced(producerID int64, epoch int16) error {
	now, nowEpoch := x.producerID, x.epoch
	defer func() { x.producerID, x.epoch = now, nowEpoch }()
	x.producerID, x.epoch = producerID, epoch
	r, err := x.c.RoundTrip(x.produce(0))
	if err != nil {
		return err
	}
	if code := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code == 0 {
		return errors.New("a fenced producer produces")
	}
	end, err := x.c.RoundTrip(harness.At(&kmsg.EndTxnRequest{TransactionalID: x.id, ProducerID: producerID, ProducerEpoch: epoch, Commit: true}, x.at(4, 5)))
	if err != nil {
		return err
	}
	if end.(*kmsg.EndTxnResponse).ErrorCode == 0 {
		return errors.New("a fenced producer commits")
	}
	return nil
}

// A decided transaction ends after a restart even where no producer comes back.
func TestRestartEndsDecidedTransactions(t *testing.T) {
	s := harness.Start(t)
	for range 5 {
		x := &script{t: t, s: s, v2: true, commit: true, topic: harness.Topic(t, s, 2), group: harness.Name(t, "g"), id: harness.Name(t, "id")}
		x.c = harness.Dial(t, s)
		x.find()
		for _, st := range x.steps() {
			x.ask(st)
		}
		s.Kill(t)
		start := time.Now()
		s.StartAgain(t)
		x.c = harness.Dial(t, s)
		wait(t, s, x.topic)
		wantValues(t, "committed", read(t, s, x.topic, true), x.id, x.id)
		if got := x.committed(); got != 42 {
			t.Errorf("offset %d", got)
		}
		t.Logf("everything was there %v after the start", time.Since(start))
	}
}
