package partition

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// asked is a question to the transaction coordinator that a test answers.
type asked struct {
	b       *bench
	answer  func(error)
	results []string
	asks    int
}

// produce verifies and appends a batch as the Produce handler does.
func (q *asked) produce(id int64, epoch int16, seq int32, bumps bool, value string) {
	q.b.p.Verify(Verification{ProducerID: id, Epoch: epoch, Sequence: seq, Bumps: bumps},
		func(done func(error)) { q.asks, q.answer = q.asks+1, done },
		func(guard uint64, err error) {
			if err == nil {
				err = q.b.append(batchOf{producer: from(id, epoch, seq), values: []string{value}, txn: true, guard: guard}).Err
			}
			q.results = append(q.results, value+": "+code(err))
		})
}

func code(err error) string {
	for _, k := range []*kerr.Error{
		kerr.InvalidTxnState, kerr.InvalidProducerEpoch, kerr.OutOfOrderSequenceNumber, kerr.NotEnoughReplicas, kerr.ConcurrentTransactions,
	} {
		if errors.Is(err, k) {
			return k.Message
		}
	}
	if err != nil {
		return err.Error()
	}
	return "OK"
}

func (q *asked) want(want ...string) {
	q.b.t.Helper()
	if fmt.Sprint(q.results) != fmt.Sprint(want) {
		q.b.t.Fatalf("got %v, want %v", q.results, want)
	}
	q.results = nil
}

func TestVerifyAsksOnceForATransaction(t *testing.T) {
	b := newBench(t)
	q := &asked{b: b}
	if !b.p.NeedsVerification(1, 0) {
		t.Fatal("nothing is known of the transaction")
	}
	// Batches that come while the coordinator thinks stay behind the first.
	q.produce(1, 0, 0, false, "a")
	q.produce(1, 0, 1, false, "b")
	q.produce(1, 0, 2, false, "c")
	q.want()
	q.answer(nil)
	q.want("a: OK", "b: OK", "c: OK")
	if q.asks != 1 || b.p.NeedsVerification(1, 0) || !b.p.NeedsVerification(1, 1) {
		t.Fatalf("asked %d times", q.asks)
	}
	q.produce(1, 0, 3, false, "d")
	q.want("d: OK")
	// After the end it begins anew.
	b.end(1, 0, true)
	q.produce(1, 0, 4, false, "e")
	if q.asks != 2 {
		t.Fatal("a new transaction was not verified")
	}
	q.answer(nil)
	q.want("e: OK")
	b.want(b.values(0, 1<<20, 1<<20)[:5], "0:a", "1:b", "2:c", "3:d", values4(b))
	if len(b.p.verifying) != 0 {
		t.Fatalf("%d verifications are kept", len(b.p.verifying))
	}
}

// values4 is the marker's record at offset 4, whose value is not text.
func values4(b *bench) string { return b.values(4, 1<<20, 1<<20)[0] }

// A batch that comes while those that waited are being appended stays behind
// them, though the transaction is ongoing by then.
func TestVerifyKeepsTheOrder(t *testing.T) {
	b := newBench(t)
	q := &asked{b: b}
	b.p.Verify(Verification{ProducerID: 1}, func(done func(error)) { q.answer = done }, func(guard uint64, err error) {
		b.must(batchOf{producer: from(1, 0, 0), values: []string{"a"}, txn: true, guard: guard})
		q.produce(1, 0, 2, false, "c")
	})
	q.produce(1, 0, 1, false, "b")
	q.answer(nil)
	q.want("b: OK", "c: OK")
	b.want(b.values(0, 1<<20, 1<<20), "0:a", "1:b", "2:c")
}

func TestCoordinatorRefuses(t *testing.T) {
	b := newBench(t)
	q := &asked{b: b}
	q.produce(1, 0, 0, false, "a")
	q.produce(1, 0, 1, false, "b")
	q.answer(kerr.ConcurrentTransactions)
	q.want("a: CONCURRENT_TRANSACTIONS", "b: CONCURRENT_TRANSACTIONS")
	// The second comes again first: it waits its turn.
	q.produce(1, 0, 1, false, "b")
	q.answer(nil)
	q.want("b: OUT_OF_ORDER_SEQUENCE_NUMBER")
	q.produce(1, 0, 0, false, "a")
	q.answer(nil)
	q.want("a: OK")
	b.want(b.values(0, 1<<20, 1<<20), "0:a")
}

// The coordinator said yes, and then ended the transaction before the batch was
// appended: the batch would begin a transaction that nobody ends.
func TestMarkerBetweenVerificationAndAppend(t *testing.T) {
	b := newBench(t)
	q := &asked{b: b}
	q.produce(1, 0, 0, false, "late")
	b.end(1, 0, false)
	q.answer(nil)
	q.want("late: INVALID_TXN_STATE")
	b.wantStable(1)
	// Even where another transaction was asked about meanwhile.
	q.produce(1, 0, 0, false, "late")
	late := q.answer
	b.end(1, 0, false)
	q.produce(1, 0, 0, false, "next")
	late(nil)
	q.want("late: INVALID_TXN_STATE")
	q.answer(nil)
	q.want("next: OK")
}

// With transaction version 2 the next transaction has the epoch of the marker
// that ends the one before, and may have been added already when it is written.
func TestMarkerLeavesTheNextTransactionsVerification(t *testing.T) {
	b := newBench(t)
	q := &asked{b: b}
	q.produce(1, 0, 0, true, "a")
	q.answer(nil)
	q.produce(1, 1, 0, true, "b")
	if err := b.mark(Marker{ProducerID: 1, ProducerEpoch: 1, Commit: true, TransactionVersion: 2}); err != nil {
		t.Fatal(err)
	}
	q.answer(nil)
	q.want("a: OK", "b: OK")
	b.wantStable(2)
	q.produce(1, 0, 1, true, "fenced")
	q.want("fenced: INVALID_PRODUCER_EPOCH")
	// Nothing is known of producer 2: it has to begin with 0.
	q.produce(2, 0, 5, true, "c")
	q.answer(nil)
	q.want("c: OUT_OF_ORDER_SEQUENCE_NUMBER")
	q.produce(3, 0, 5, false, "old client")
	q.answer(nil)
	q.want("old client: OK")
}

func TestVerificationsAreBounded(t *testing.T) {
	b := newBench(t)
	q := &asked{b: b}
	for id := range int64(maxVerifications) {
		q.produce(id, 0, 0, false, "x")
		q.answer(kerr.InvalidTxnState)
	}
	q.results = nil
	q.produce(maxVerifications, 0, 0, false, "one more")
	q.want("one more: NOT_ENOUGH_REPLICAS")
	b.now = b.now.Add(2 * time.Hour)
	b.m.Clean(t.Context())
	q.produce(maxVerifications, 0, 0, false, "one more")
	q.answer(nil)
	q.want("one more: OK")
}
