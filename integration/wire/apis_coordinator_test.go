package wire

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// coordinatorAPIs are the keys of the transaction coordinator.
func coordinatorAPIs() []api {
	return []api{
		{key: 24, min: 0, max: 5, ask: askAddPartitionsToTxn},
		{key: 25, min: 0, max: 4, ask: askAddOffsetsToTxn},
		{key: 26, min: 0, max: 5, ask: askEndTxn},
		{key: 65, min: 0, max: 0, ask: askDescribeTransactions},
		{key: 66, min: 0, max: 2, ask: askListTransactions},
	}
}

// txnProducer is who holds a transactional id.
type txnProducer struct {
	id         string
	producerID int64
	epoch      int16
}

func initTxnReq(v int16, id string) *kmsg.InitProducerIDRequest {
	req := harness.At(kmsg.NewPtrInitProducerIDRequest(), v)
	req.TransactionalID, req.TransactionTimeoutMillis = &id, 60_000
	return req
}

// findTxn waits until the coordinator of a transactional id is there.
func (e *env) findTxn(id string) {
	e.t.Helper()
	harness.Eventually(e.t, harness.Long, "a transaction coordinator", func() error {
		req := harness.At(kmsg.NewPtrFindCoordinatorRequest(), 3)
		req.CoordinatorKey, req.CoordinatorType = id, 1
		return fault("find", harness.Ask[*kmsg.FindCoordinatorResponse](e.t, e.c, req).ErrorCode)
	})
}

// initTxn asks for a producer id for a transactional id until the coordinator
// has one.
func (e *env) initTxn(v int16, id string) txnProducer {
	e.t.Helper()
	e.findTxn(id)
	p := txnProducer{id: id}
	harness.Eventually(e.t, harness.Long, "a producer id", func() error {
		r := harness.Ask[*kmsg.InitProducerIDResponse](e.t, e.c, initTxnReq(v, id))
		p.producerID, p.epoch = r.ProducerID, r.ProducerEpoch
		return fault("init producer id", r.ErrorCode)
	})
	return p
}

func (e *env) txnProducer() txnProducer { return e.initTxn(4, harness.Name(e.t, "txn")) }

func (e *env) addReq(v int16, p txnProducer, topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	req := harness.At(kmsg.NewPtrAddPartitionsToTxnRequest(), v)
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.id, p.producerID, p.epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	return req
}

// add puts partitions of the test's topic into the producer's transaction.
func (e *env) add(p txnProducer, partitions ...int32) {
	e.t.Helper()
	r := harness.Ask[*kmsg.AddPartitionsToTxnResponse](e.t, e.c, e.addReq(3, p, e.topic, partitions...))
	for _, rp := range r.Topics[0].Partitions {
		if rp.ErrorCode != 0 {
			e.t.Fatalf("add partition %d: %v", rp.Partition, kerr.ErrorForCode(rp.ErrorCode))
		}
	}
}

func (e *env) describeTxn(id string) kmsg.DescribeTransactionsResponseTransactionState {
	e.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	return harness.Ask[*kmsg.DescribeTransactionsResponse](e.t, e.c, req).TransactionStates[0]
}

// inTxn checks what is in a transaction.
func (e *env) inTxn(p txnProducer, topic string, partitions ...int32) error {
	d := e.describeTxn(p.id)
	if err := check(fault("describe", d.ErrorCode), equal("state", d.State, "Ongoing"), equal("topics", len(d.Topics), 1)); err != nil {
		return err
	}
	slices.Sort(d.Topics[0].Partitions) // Apache Kafka keeps them in no order
	return check(equal("topic", d.Topics[0].Topic, topic), equal("partitions", fmt.Sprint(d.Topics[0].Partitions), fmt.Sprint(partitions)))
}

func askAddPartitionsToTxn(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	p := e.txnProducer()
	if v < 4 {
		return e.addReq(v, p, e.topic, 0, 1), as(func(r *kmsg.AddPartitionsToTxnResponse) error {
			if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 2 {
				return errors.New("not two partitions")
			}
			ps := r.Topics[0].Partitions
			return check(fault("add 0", ps[0].ErrorCode), fault("add 1", ps[1].ErrorCode), e.inTxn(p, e.topic, 0, 1))
		})
	}
	other := e.txnProducer()
	e.add(other, 1)
	transaction := func(p txnProducer, verify bool) kmsg.AddPartitionsToTxnRequestTransaction {
		return kmsg.AddPartitionsToTxnRequestTransaction{
			TransactionalID: p.id, ProducerID: p.producerID, ProducerEpoch: p.epoch, VerifyOnly: verify,
			Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: e.topic, Partitions: []int32{0, 1}}},
		}
	}
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{transaction(p, false), transaction(other, true)}
	return req, as(func(r *kmsg.AddPartitionsToTxnResponse) error {
		codes := map[string]string{}
		for _, t := range r.Transactions {
			slices.SortFunc(t.Topics[0].Partitions, func(a, b kmsg.AddPartitionsToTxnResponseTransactionTopicPartition) int {
				return int(a.Partition - b.Partition)
			})
			for _, rp := range t.Topics[0].Partitions {
				codes[t.TransactionalID] += fmt.Sprintf("%d: %v. ", rp.Partition, kerr.ErrorForCode(rp.ErrorCode))
			}
		}
		return check(
			equal("added", codes[p.id], "0: <nil>. 1: <nil>. "),
			equal("verified", codes[other.id], fmt.Sprintf("0: %v. 1: <nil>. ", kerr.TransactionAbortable)),
			e.inTxn(p, e.topic, 0, 1), e.inTxn(other, e.topic, 1))
	})
}

func askAddOffsetsToTxn(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	p := e.txnProducer()
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.id, p.producerID, p.epoch, "g"
	return req, as(func(r *kmsg.AddOffsetsToTxnResponse) error {
		// Java's hash of "g", by fifty partitions.
		return check(fault("add offsets", r.ErrorCode), e.inTxn(p, "__consumer_offsets", 'g'%50))
	})
}

func askEndTxn(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	p := e.txnProducer()
	e.add(p, 0)
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.id, p.producerID, p.epoch, true
	return req, as(func(r *kmsg.EndTxnResponse) error {
		goesOn := txnProducer{p.id, -1, -1}
		raised := p.epoch
		if v >= 5 { // KIP-890
			raised++
			goesOn = txnProducer{p.id, p.producerID, raised}
		}
		d := e.describeTxn(p.id)
		return check(
			fault("end", r.ErrorCode), equal("goes on", txnProducer{p.id, r.ProducerID, r.ProducerEpoch}, goesOn),
			equal("epoch", d.ProducerEpoch, raised), equal("decided", d.State == "PrepareCommit" || d.State == "CompleteCommit", true))
	})
}

func askDescribeTransactions(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	p := e.txnProducer()
	e.add(p, 1)
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{p.id, p.id + "-nobody", ""}
	return req, as(func(r *kmsg.DescribeTransactionsResponse) error {
		if len(r.TransactionStates) != 3 {
			return errors.New("not three transactions")
		}
		d := r.TransactionStates[0]
		return check(
			fault("describe", d.ErrorCode), equal("state", d.State, "Ongoing"), equal("timeout", d.TimeoutMillis, 60_000),
			equal("producer", txnProducer{d.TransactionalID, d.ProducerID, d.ProducerEpoch}, p),
			equal("started", d.StartTimestamp > 0, true), equal("topics", len(d.Topics), 1),
			equal("unknown", kerr.ErrorForCode(r.TransactionStates[1].ErrorCode), error(kerr.TransactionalIDNotFound)),
			equal("empty", kerr.ErrorForCode(r.TransactionStates[2].ErrorCode), error(kerr.InvalidRequest)))
	})
}

func askListTransactions(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	p, idle := e.txnProducer(), e.txnProducer()
	e.add(p, 1)
	req := kmsg.NewPtrListTransactionsRequest()
	req.StateFilters, req.ProducerIDFilters = []string{"Ongoing", "Sleeping"}, []int64{p.producerID, idle.producerID}
	want := p.id
	switch v {
	case 1:
		req.DurationFilterMillis, want = 3_600_000, ""
	case 2:
		pattern := ".*" + p.id[1:]
		req.TransactionalIDPattern = &pattern
	}
	return req, as(func(r *kmsg.ListTransactionsResponse) error {
		ids := ""
		for _, t := range r.TransactionStates {
			ids += t.TransactionalID
		}
		return check(fault("list", r.ErrorCode), equal("ids", ids, want), equal("unknown states", fmt.Sprint(r.UnknownStateFilters), "[Sleeping]"))
	})
}

func TestTransactionCoordinatorInEveryVersion(t *testing.T) {
	e := newEnv(t, 1)
	e.findTxn("x")                   // it may have to be made first
	for v := int16(1); v <= 6; v++ { // version 0 knows groups only
		req := harness.At(kmsg.NewPtrFindCoordinatorRequest(), v)
		req.CoordinatorKey, req.CoordinatorKeys, req.CoordinatorType = "x", []string{"x", "y"}, 1
		r := harness.Ask[*kmsg.FindCoordinatorResponse](t, e.c, req)
		if v < 4 {
			if err := check(fault("find", r.ErrorCode), equal("coordinator", fmt.Sprintf("%s:%d", r.Host, r.Port), e.s.Addr())); err != nil {
				t.Errorf("version %d: %v", v, err)
			}
			continue
		}
		for _, c := range r.Coordinators {
			if err := check(fault("find", c.ErrorCode), equal("coordinator", fmt.Sprintf("%s:%d", c.Host, c.Port), e.s.Addr())); err != nil {
				t.Errorf("version %d, %s: %v", v, c.Key, err)
			}
		}
	}
}

// Every version gives a transactional id its producer id and, the next time, the
// next epoch.
func TestInitProducerIDWithATransactionalID(t *testing.T) {
	e := newEnv(t, 1)
	for v := int16(0); v <= 5; v++ {
		id := harness.Name(t, "txn")
		p := e.initTxn(v, id)
		again := e.initTxn(v, id)
		if err := check(equal("first epoch", p.epoch, 0), equal("again", again, txnProducer{id, p.producerID, 1})); err != nil {
			t.Errorf("version %d: %v", v, err)
		}
		// KIP-588: what a fenced producer hears depends on what it knows.
		if v < 3 {
			continue
		}
		req := initTxnReq(v, id)
		req.ProducerID, req.ProducerEpoch = p.producerID, p.epoch
		want := error(kerr.InvalidProducerEpoch)
		if v >= 4 {
			want = kerr.ProducerFenced
		}
		if r := harness.Ask[*kmsg.InitProducerIDResponse](t, e.c, req); !errors.Is(kerr.ErrorForCode(r.ErrorCode), want) {
			t.Errorf("version %d: a fenced producer goes on: %v, want %v", v, kerr.ErrorForCode(r.ErrorCode), want)
		}
	}
}

func TestFencedProducersHearWhatTheyKnow(t *testing.T) {
	e := newEnv(t, 1)
	p := e.txnProducer()
	e.initTxn(4, p.id)
	for v := int16(0); v <= 5; v++ {
		want := error(kerr.InvalidProducerEpoch)
		if v >= 2 {
			want = kerr.ProducerFenced
		}
		end := harness.At(kmsg.NewPtrEndTxnRequest(), v)
		end.TransactionalID, end.ProducerID, end.ProducerEpoch = p.id, p.producerID, p.epoch
		if r := harness.Ask[*kmsg.EndTxnResponse](t, e.c, end); !errors.Is(kerr.ErrorForCode(r.ErrorCode), want) {
			t.Errorf("EndTxn version %d: %v, want %v", v, kerr.ErrorForCode(r.ErrorCode), want)
		}
		if v > 3 {
			continue
		}
		r := harness.Ask[*kmsg.AddPartitionsToTxnResponse](t, e.c, e.addReq(v, p, e.topic, 0))
		if got := kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode); !errors.Is(got, want) {
			t.Errorf("AddPartitionsToTxn version %d: %v, want %v", v, got, want)
		}
		offsets := harness.At(kmsg.NewPtrAddOffsetsToTxnRequest(), v)
		offsets.TransactionalID, offsets.ProducerID, offsets.ProducerEpoch, offsets.Group = p.id, p.producerID, p.epoch, "g"
		if r := harness.Ask[*kmsg.AddOffsetsToTxnResponse](t, e.c, offsets); !errors.Is(kerr.ErrorForCode(r.ErrorCode), want) {
			t.Errorf("AddOffsetsToTxn version %d: %v, want %v", v, kerr.ErrorForCode(r.ErrorCode), want)
		}
	}
}

// A partition that does not exist keeps all of its request out.
func TestPartitionsAreAddedAllOrNone(t *testing.T) {
	e := newEnv(t, 1)
	p := e.txnProducer()
	for _, c := range []struct {
		topic string
		want  string
	}{
		{e.topic, fmt.Sprint(kerr.OperationNotAttempted, kerr.UnknownTopicOrPartition)},
		{"__consumer_offsets", fmt.Sprint(kerr.TopicAuthorizationFailed, kerr.TopicAuthorizationFailed)},
	} {
		r := harness.Ask[*kmsg.AddPartitionsToTxnResponse](t, e.c, e.addReq(3, p, c.topic, 0, 1000))
		ps := r.Topics[0].Partitions
		slices.SortFunc(ps, func(a, b kmsg.AddPartitionsToTxnResponseTopicPartition) int { return int(a.Partition - b.Partition) })
		if got := fmt.Sprint(kerr.ErrorForCode(ps[0].ErrorCode), kerr.ErrorForCode(ps[1].ErrorCode)); got != c.want {
			t.Errorf("%s: %s, want %s", c.topic, got, c.want)
		}
	}
	if d := e.describeTxn(p.id); d.State != "Empty" {
		t.Errorf("the transaction is %s", d.State)
	}
}

// Clients choose how they do transactions by this feature (KIP-890).
func TestTransactionVersionIsAnnounced(t *testing.T) {
	e := newEnv(t, 1)
	for v := int16(3); v <= 4; v++ {
		r := harness.Ask[*kmsg.ApiVersionsResponse](t, e.c, apiVersions(v))
		level := int16(-1)
		for _, f := range r.FinalizedFeatures {
			if f.Name == "transaction.version" {
				level = f.MaxVersionLevel
			}
		}
		supported := int16(-1)
		for _, f := range r.SupportedFeatures {
			if f.Name == "transaction.version" {
				supported = f.MaxVersion
			}
		}
		want := int16(2)
		if v < 4 {
			want = -1 // clients of those versions cannot read levels from 0 on
		}
		if level != 2 || supported != want || r.FinalizedFeaturesEpoch < 0 {
			t.Errorf("version %d: transaction.version is %d of %d, epoch %d", v, level, supported, r.FinalizedFeaturesEpoch)
		}
	}
}

func TestTransactionTimeoutHasALimit(t *testing.T) {
	e := newEnv(t, 1)
	id := harness.Name(t, "txn")
	e.findTxn(id)
	for _, ms := range []int32{0, -1, 900_001} {
		req := initTxnReq(5, id)
		req.TransactionTimeoutMillis = ms
		if r := harness.Ask[*kmsg.InitProducerIDResponse](t, e.c, req); r.ErrorCode != kerr.InvalidTransactionTimeout.Code {
			t.Errorf("%d ms: %v", ms, kerr.ErrorForCode(r.ErrorCode))
		}
	}
}
