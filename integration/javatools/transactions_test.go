package javatools

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

const transactions = "org.apache.kafka.tools.TransactionsCommand"

// Transactions are listed and described, and one that no coordinator knows is
// found and aborted.
func TestTransactionsCommand(t *testing.T) {
	// A partition takes no record of an unknown transaction by itself.
	s := harness.Start(t, harness.Config("transaction.partition.verification.enable", "false"))
	topic := harness.Topic(t, s, 1)
	id := harness.Name(t, "id")
	cl := harness.Client(t, s, kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute))
	ctx := harness.Context(t, 5*time.Minute)
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	producerID, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pid := strconv.FormatInt(producerID, 10)
	wants(t, run(t, s, transactions, "list"), id+" 1 "+pid+" Ongoing")
	wants(t, run(t, s, transactions, "list", "--transactional-id-pattern", ".*-"+id[len(id)-4:]), id+" 1 "+pid+" Ongoing")
	if out := run(t, s, transactions, "list", "--duration-filter", "3600000"); strings.Contains(out, id) {
		t.Errorf("open for an hour:\n%s", out)
	}
	wants(t, run(t, s, transactions, "describe", "--transactional-id", id), "1 "+id+" "+pid+" "+strconv.Itoa(int(epoch))+" Ongoing 60000", topic+"-0")
	wants(t, run(t, s, transactions, "describe-producers", "--topic", topic, "--partition", "0"), pid+" "+strconv.Itoa(int(epoch))+" -1")
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}

	hangs := hanging(t, s, topic)
	args := []string{"--topic", topic, "--partition", "0"}
	wants(t, run(t, s, transactions, append([]string{"find-hanging"}, args...)...), topic+" 0 "+strconv.FormatInt(hangs, 10))
	stable := func() (int64, int64) {
		adm := harness.Admin(t, s)
		committed, err := adm.ListCommittedOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		return committed[topic][0].Offset, ends[topic][0].Offset
	}
	if at, end := stable(); at >= end {
		t.Fatalf("the log ends at %d and is stable up to %d: nothing hangs", end, at)
	}
	run(t, s, transactions, append([]string{"abort", "--producer-id", strconv.FormatInt(hangs, 10), "--producer-epoch", "0", "--coordinator-epoch", "0"}, args...)...)
	if at, end := stable(); at != end {
		t.Errorf("after the abort, the log ends at %d and is stable up to %d", end, at)
	}
}

// hanging leaves a transaction open that began two hours ago, and that its
// coordinator does not know. It returns its producer id.
func hanging(t testing.TB, s *harness.Server, topic string) int64 {
	t.Helper()
	c := harness.Dial(t, s)
	id := harness.Name(t, "hangs")
	init := harness.At(kmsg.NewPtrInitProducerIDRequest(), 4)
	init.TransactionalID, init.TransactionTimeoutMillis = &id, 60_000
	r := harness.Ask[*kmsg.InitProducerIDResponse](t, c, init)
	if r.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(r.ErrorCode))
	}
	b := harness.Batch{
		Records: harness.Values("y"), Attributes: 1 << 4, Idempotent: true, ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch,
		Timestamp: time.Now().Add(-2 * time.Hour).UnixMilli(),
	}
	req := harness.At(kmsg.NewPtrProduceRequest(), 9)
	req.TransactionID, req.Acks, req.TimeoutMillis = &id, -1, 30_000
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = b.Encode()
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{rp}}}
	p := harness.Ask[*kmsg.ProduceResponse](t, c, req).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		t.Fatal(errors.Join(errors.New("produce"), kerr.ErrorForCode(p.ErrorCode)))
	}
	return r.ProducerID
}
