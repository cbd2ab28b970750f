package clients

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"

	"github.com/streamweir/streamweir/integration/harness"
)

// sarama: an idempotent producer in every codec, and a consumer group that
// goes on where it was.
func TestSarama(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 3)
	group := harness.Name(t, "g")
	codecs := []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD}
	config := func() *sarama.Config {
		c := sarama.NewConfig()
		c.Version = sarama.MaxVersion
		c.Producer.Return.Successes = true
		c.Producer.RequiredAcks = sarama.WaitForAll
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
		c.Consumer.Offsets.Initial = sarama.OffsetOldest
		return c
	}
	send := func(codec sarama.CompressionCodec, n int) {
		t.Helper()
		c := config()
		c.Producer.Compression = codec
		p, err := sarama.NewSyncProducer([]string{s.Addr()}, c)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var ms []*sarama.ProducerMessage
		for i := range n {
			ms = append(ms, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint(i)), Value: sarama.StringEncoder("value"),
				Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: []byte("v")}}})
		}
		if err := p.SendMessages(ms); err != nil {
			t.Fatalf("codec %v: %v", codec, err)
		}
	}
	read := func(want int) {
		t.Helper()
		g, err := sarama.NewConsumerGroup([]string{s.Addr()}, group, config())
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		h := &saramaHandler{want: want}
		ctx, cancel := context.WithCancel(harness.Context(t, takes))
		defer cancel()
		h.done = cancel
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{topic}, h); err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
		}
		if h.read != want {
			t.Fatalf("read %d records, want %d", h.read, want)
		}
	}
	for _, codec := range codecs {
		send(codec, perCodec)
	}
	read(perCodec * len(codecs))
	send(sarama.CompressionNone, 3)
	read(3)
}

// saramaHandler reads until it has what it wants.
type saramaHandler struct {
	mu   sync.Mutex
	want int
	read int
	done func()
}

func (h *saramaHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (h *saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h *saramaHandler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			session.MarkMessage(m, "")
			h.mu.Lock()
			h.read++
			if h.read >= h.want {
				session.Commit()
				h.done()
			}
			h.mu.Unlock()
		case <-session.Context().Done():
			return nil
		}
	}
}

// segmentio/kafka-go: it joins groups with the first version of JoinGroup.
func TestKafkaGo(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 3)
	group := harness.Name(t, "g")
	codecs := []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd}
	ctx := harness.Context(t, takes)
	send := func(codec kafka.Compression, n int) {
		t.Helper()
		w := &kafka.Writer{Addr: kafka.TCP(s.Addr()), Topic: topic, Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
			Compression: codec, BatchSize: n}
		defer w.Close()
		var ms []kafka.Message
		for i := range n {
			ms = append(ms, kafka.Message{Key: fmt.Append(nil, i), Value: []byte("value"), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}})
		}
		if err := w.WriteMessages(ctx, ms...); err != nil {
			t.Fatalf("codec %v: %v", codec, err)
		}
	}
	read := func(n int) {
		t.Helper()
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{s.Addr()}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset, MaxWait: 500 * time.Millisecond})
		defer r.Close()
		for i := range n {
			m, err := r.FetchMessage(ctx)
			if err != nil {
				t.Fatalf("after %d of %d records: %v", i, n, err)
			}
			if string(m.Value) != "value" || len(m.Headers) != 1 {
				t.Fatalf("record %d is %q with %d headers", i, m.Value, len(m.Headers))
			}
			if err := r.CommitMessages(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if m, err := r.FetchMessage(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more record than was sent: %q, %v", m.Value, err)
		}
	}
	for _, codec := range codecs {
		send(codec, perCodec)
	}
	read(perCodec * len(codecs))
	send(0, 3)
	read(3)
}
