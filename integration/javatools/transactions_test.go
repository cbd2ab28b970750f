package javatools

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

const (
	transactions = "org.apache.kafka.tools.TransactionsCommand"

	// transactional is the attribute of batches that belong to a transaction.
	transactional = 1 << 4
)

// An open transaction is listed, described, and ended by force.
func TestTransactionsCommand(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 2)
	id := harness.Name(t, "id")
	fill(t, s, topic, 2, 3)
	cl := openTransaction(t, s, id, topic, 1)
	pid, epoch, err := cl.ProducerID(harness.Context(t, harness.Long))
	if err != nil {
		t.Fatal(err)
	}

	wants(t, run(t, s, transactions, "list", "--transactional-id-pattern", regexp.QuoteMeta(id)),
		fmt.Sprintf("%s 1 %d Ongoing", id, pid))
	row := fields(t, run(t, s, transactions, "describe", "--transactional-id", id), id)
	if !slices.Equal(row[:6], []string{"1", id, fmt.Sprint(pid), fmt.Sprint(epoch), "Ongoing", "40000"}) || row[8] != topic+"-1" {
		t.Errorf("describe: %q", row)
	}
	row = fields(t, run(t, s, transactions, "describe-producers", "--topic", topic, "--partition", "1"), fmt.Sprint(pid))
	if !slices.Equal(row[:4], []string{fmt.Sprint(pid), fmt.Sprint(epoch), "-1", "0"}) || row[5] != "3" {
		t.Errorf("describe-producers: %q", row)
	}

	run(t, s, transactions, "forceTerminateTransaction", "--transactionalId", id)
	if err := cl.EndTransaction(harness.Context(t, harness.Long), kgo.TryCommit); !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("commit of a transaction that was ended by force: %v", err)
	}
	// A new producer id was asked for in the producer's place, so nothing is left
	// of the transaction but its marker.
	after, err := harness.Admin(t, s).DescribeTransactions(harness.Context(t, harness.Long), id)
	if err != nil || after[id].Err != nil || after[id].State != "Empty" || after[id].StartTimestamp != -1 {
		t.Errorf("after the end: %+v, %v", after[id], err)
	}
	wantOpen(t, s, topic, 1, -1)
}

// wantOpen checks where the only open transaction of a partition begins; -1: no
// transaction is open.
func wantOpen(t testing.TB, s *harness.Server, topic string, partition int32, want int64) {
	t.Helper()
	var set kadm.TopicsSet
	set.Add(topic, partition)
	described, err := harness.Admin(t, s).DescribeProducers(harness.Context(t, harness.Long), set)
	if err != nil {
		t.Fatal(err)
	}
	open := int64(-1)
	for _, p := range described.SortedProducers() {
		open = max(open, p.CurrentTxnStartOffset)
	}
	if open != want {
		t.Errorf("%s-%d has an open transaction at %d, want %d (-1: none): %+v", topic, partition, open, want, described)
	}
}

// A transaction that the coordinator knows nothing of holds readers back for
// ever: the tool finds it, tells it from one that is only open, and aborts it.
// It can only come about where a broker does not ask the coordinator before it
// takes a transactional batch.
func TestTransactionsCommandAbortsHanging(t *testing.T) {
	s := harness.Start(t, harness.Config("transaction.partition.verification.enable", "false"))
	const pid, start = 987654, 3
	topic := harness.Topic(t, s, 2)
	fill(t, s, topic, 1, start)
	openTransaction(t, s, harness.Name(t, "id"), topic, 1)
	sendHanging(t, s, topic, pid)
	fill(t, s, topic, 1, 5)
	if n := readCommitted(t, s, topic, start); n != start {
		t.Fatalf("%d records are visible below the open transaction, want %d", n, start)
	}

	out := run(t, s, transactions, "find-hanging", "--broker-id", "1", "--max-transaction-timeout", "0")
	row := fields(t, out, topic)
	if !slices.Equal(row[:6], []string{topic, "0", fmt.Sprint(pid), "0", "-1", fmt.Sprint(start)}) || row[7] != "60" {
		t.Errorf("find-hanging: %q", row)
	}
	if strings.Count(out, topic) != 1 {
		t.Errorf("the transaction that is only open is told as hanging:\n%s", out)
	}
	run(t, s, transactions, "abort", "--topic", topic, "--partition", "0", "--start-offset", fmt.Sprint(start))
	wantOpen(t, s, topic, 0, -1)
	wantOpen(t, s, topic, 1, 0)
	if n := readCommitted(t, s, topic, start+5); n != start+5 {
		t.Errorf("%d records are visible after the abort, want %d", n, start+5)
	}
}

// openTransaction begins a transaction, writes one record to a partition, and
// leaves it open.
func openTransaction(t testing.TB, s *harness.Server, id, topic string, partition int32) *kgo.Client {
	t.Helper()
	cl := harness.Client(t, s, kgo.TransactionalID(id), kgo.TransactionTimeout(40*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("open")}
	if err := cl.ProduceSync(harness.Context(t, harness.Long), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return cl
}

// sendHanging writes an hour-old batch of a transaction that no coordinator
// knows to partition 0.
func sendHanging(t testing.TB, s *harness.Server, topic string, pid int64) {
	t.Helper()
	batch := harness.Batch{Records: harness.Values("hanging"), Attributes: transactional, Idempotent: true, ProducerID: pid,
		Timestamp: time.Now().Add(-time.Hour - 10*time.Second).UnixMilli()}
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID = kmsg.StringPtr(harness.Name(t, "hanging"))
	req.Acks, req.TimeoutMillis = -1, 30_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch.Encode()}}}}
	// From version 12 on, a produce request adds its partitions to the transaction.
	resp := harness.Ask[*kmsg.ProduceResponse](t, harness.Dial(t, s), harness.At(req, 11))
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatalf("produce the batch of a hanging transaction: %v", err)
	}
}

// readCommitted reads partition 0 of a topic from its start, and returns how
// many records come: those up to atLeast, and what comes soon after them.
func readCommitted(t testing.TB, s *harness.Server, topic string, atLeast int) int {
	t.Helper()
	cl := harness.Client(t, s, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer cl.Close()
	n := 0
	read := func(ctx context.Context) {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if string(r.Value) == "hanging" {
				t.Errorf("the record of the hanging transaction was read at %d", r.Offset)
			}
			n++
		})
	}
	for ctx := harness.Context(t, harness.Long); n < atLeast && ctx.Err() == nil; {
		read(ctx)
	}
	// One more fetch of a client that asks the broker to wait half a second.
	read(harness.Context(t, 700*time.Millisecond))
	return n
}

// fields is the row of a tool's table that has a cell with the given text, with
// empty cells where it ends early.
func fields(t testing.TB, out, cell string) []string {
	t.Helper()
	for line := range strings.Lines(out) {
		if row := strings.Fields(line); slices.Contains(row, cell) {
			return append(row, make([]string, max(0, 9-len(row)))...)
		}
	}
	t.Fatalf("no row with %q in\n%s", cell, out)
	return nil
}
