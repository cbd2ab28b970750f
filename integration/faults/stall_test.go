package faults

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

// A client that never reads its fetch responses stops nobody: others produce
// and fetch as before, from the same partition too, while its log is sealed
// and collected under it, and memory stays bounded.
func TestClientThatNeverReads(t *testing.T) {
	s := harness.Start(t, harness.Plain())
	topic := harness.Topic(t, s, 1, "segment.bytes=16777216")
	ctx := harness.Context(t, 3*harness.Long)
	cl := writer(t, s, topic)
	const batches = 100
	for i := range batches {
		if err := put(ctx, cl, harness.Incompressible(uint64(i), megabyte)); err != nil {
			t.Fatal(err)
		}
	}
	before := memory(t, s)
	for range 20 {
		stalled(t, s, topic, 20) // 400 answers of up to 50 MB each, if it lets them
	}
	var took []time.Duration
	for i := range 200 {
		began := time.Now()
		if err := put(ctx, cl, harness.Incompressible(uint64(batches+i), megabyte)); err != nil {
			t.Fatalf("produce %d beside clients that do not read: %v", i, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("produce of 1 MB: median %v, worst %v", took[len(took)/2], took[len(took)-1])
	if worst := took[len(took)-1]; worst > 20*time.Second {
		t.Errorf("a produce took %v", worst)
	}
	readBack(t, s, topic, 0, batches+200)
	mustServe(t, s)
	grown(t, s, before, 600*megabyte)
}

// Connections that announce large requests and send little of them: others are
// served, and the announced memory is not spent.
func TestSlowRequests(t *testing.T) {
	harness.OnlyStreamweir(t, "it reserves what a request announces")
	s := harness.Start(t, harness.Plain())
	mustServe(t, s)
	before := memory(t, s)
	const connections = 300
	var conns []net.Conn
	for i := range connections {
		c := harness.Dial(t, s)
		head := binary.BigEndian.AppendUint32(nil, 64<<20)
		if i%3 == 0 {
			head = binary.BigEndian.AppendUint32(nil, 100<<20)
		}
		head = append(head, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, 'x')
		if _, err := c.Write(append(head, make([]byte, 4096)...)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for range 5 {
		mustServe(t, s)
		for _, c := range conns {
			c.SetWriteDeadline(time.Now().Add(time.Second))
			c.Write([]byte{0}) // one more byte, or an error where it was closed
		}
	}
	grown(t, s, before, 500*megabyte)
}

// Connections that send most of a large request and stop, all the memory for
// requests among them: others have theirs soon.
func TestUploadsThatStall(t *testing.T) {
	harness.OnlyStreamweir(t, "it waits for them until connections.max.idle.ms")
	s := harness.Start(t, harness.Plain(), harness.Config("queued.max.request.bytes", "67108864"),
		harness.Config("socket.request.max.bytes", "33554432"))
	topic := harness.Topic(t, s, 1)
	const size = 32 << 20
	most := append(binary.BigEndian.AppendUint32(nil, size), make([]byte, size-1000)...)
	for range 8 {
		c := harness.Dial(t, s)
		var upload sync.WaitGroup
		upload.Go(func() { _, _ = c.Write(most) }) // the server cuts off as many as it must
		t.Cleanup(func() { c.Close(); upload.Wait() })
	}
	harness.Eventually(t, harness.Long, "requests wait for memory", func() error {
		return atLeast("waits", int64(scrape(t, s)["streamweir_kafka_memory_waits_total"]), 1)
	})
	ctx := harness.Context(t, harness.Long)
	cl := writer(t, s, topic)
	for i := range 5 {
		if err := put(ctx, cl, harness.Incompressible(uint64(i), megabyte)); err != nil {
			t.Fatalf("produce %d beside clients that have stopped in the middle: %v", i, err)
		}
	}
}

// Thousands of connections that say nothing, or half a word, cost little and
// disturb nobody.
func TestManySilentConnections(t *testing.T) {
	s := harness.Start(t, harness.Plain())
	mustServe(t, s)
	before := memory(t, s)
	const connections = 3000
	for i := range connections {
		c := harness.Dial(t, s)
		if i%2 == 0 {
			if _, err := c.Write([]byte{0, 0, 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustServe(t, s)
	if !harness.AgainstKafka() {
		grown(t, s, before, connections*64<<10)
	}
}

// A flood of broken frames on many connections at once disturbs nobody.
func TestFloodOfBrokenFrames(t *testing.T) {
	s := harness.Start(t, harness.Plain())
	mustServe(t, s)
	before := memory(t, s)
	done := make(chan struct{})
	ended := make(chan error, 8)
	for w := range 8 {
		go func() {
			ended <- flood(s.Addr(), uint64(w), done)
		}()
	}
	topic := harness.Topic(t, s, 1)
	ctx := harness.Context(t, 2*harness.Long)
	cl := writer(t, s, topic)
	for i := range 300 {
		if err := put(ctx, cl, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Errorf("produce %d beside the flood: %v", i, err)
			break
		}
	}
	close(done)
	for range 8 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	mustServe(t, s)
	if !harness.AgainstKafka() {
		grown(t, s, before, 400*megabyte)
	}
}

// flood sends frames of random content, some with a plausible beginning.
func flood(addr string, seed uint64, done <-chan struct{}) error {
	noise := harness.Incompressible(seed, 1<<16)
	for i := 0; ; i++ {
		select {
		case <-done:
			return nil
		default:
		}
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			return fmt.Errorf("connection %d of the flood: %w", i, err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		at := i * 97 % 60000
		body := noise[at : at+64+i%1000]
		frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))
		key := uint16(i % 50)
		frame = binary.BigEndian.AppendUint16(frame, key)
		frame = append(frame, 0, byte(i%14), 0, 0, 0, 1)
		c.Write(append(frame, body...))
		c.Read(make([]byte, 4096))
		c.Close()
	}
}

// memory is the server's own, 0 where it is not ours to judge.
func memory(t testing.TB, s *harness.Server) int64 {
	if harness.AgainstKafka() {
		return 0
	}
	return s.AnonymousMemory(t)
}

// grown fails the test if the server's memory has grown by more than limit.
func grown(t testing.TB, s *harness.Server, before, limit int64) {
	t.Helper()
	if harness.AgainstKafka() {
		return
	}
	after := s.AnonymousMemory(t)
	t.Logf("memory: %d MB before, %d MB after", before/megabyte, after/megabyte)
	if after-before > limit {
		t.Errorf("memory has grown from %d MB to %d MB, by more than %d MB", before/megabyte, after/megabyte, limit/megabyte)
	}
}
