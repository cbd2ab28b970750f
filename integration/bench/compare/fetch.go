package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// What the Java consumer asks for by default.
const (
	fetchMaxBytes     = 50 << 20
	fetchMaxPartition = 1 << 20
	fetchMaxWait      = 500 * time.Millisecond
)

// committedOnly is the isolation level of those who read what is committed.
const committedOnly = 1

// reading is how a log is read, and for how long.
type reading struct {
	isolation int8
	within    time.Duration
}

// catchUp reads the whole topic over several connections, again and again until
// the time has passed, and counts complete batches and the aborted transactions
// that fetches named.
func catchUp(ctx context.Context, b *comparison.Server, l load, how reading) (read comparison.Interval, aborted int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 8*how.within+2*requestTimeout)
	defer cancel()
	first, err := dial(ctx, b.Addr)
	if err != nil {
		return read, 0, err
	}
	ends, err := first.logEnds(l.topic, l.partitions)
	first.close()
	if err != nil {
		return read, 0, err
	}
	readers := make([]*reader, l.connections)
	for i := range readers {
		readers[i] = &reader{topic: l.topic, isolation: how.isolation, next: map[int32]int64{}, ends: ends}
		for p := i; p < l.partitions; p += l.connections {
			readers[i].mine = append(readers[i].mine, int32(p))
		}
		if readers[i].conn, err = dial(ctx, b.Addr); err != nil {
			return read, 0, err
		}
		defer readers[i].conn.close()
	}

	before, err := b.Usage()
	if err != nil {
		return read, 0, err
	}
	group, _ := errgroup.WithContext(ctx)
	for _, r := range readers {
		group.Go(func() error {
			for {
				if err := r.pass(); err != nil {
					return err
				}
				if time.Since(before.At) >= how.within {
					return nil
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return read, 0, fmt.Errorf("catch-up fetch: %w", err)
	}
	after, err := b.Usage()
	if err != nil {
		return read, 0, err
	}
	var bytes int64
	for _, r := range readers {
		bytes += r.bytes
		aborted += r.aborted
	}
	if bytes == 0 {
		return read, 0, errors.New("catch-up fetch: there was nothing to read")
	}
	return comparison.NewInterval(bytes, before, after), aborted, nil
}

// reader fetches some partitions of a topic over one connection.
type reader struct {
	conn      *conn
	topic     string
	isolation int8
	mine      []int32
	next      map[int32]int64 // offset to fetch next
	ends      map[int32]int64
	bytes     int64 // of complete batches, over all passes
	aborted   int64 // transactions that fetches named
	left      int   // bytes of the current response not yet read
}

// pass reads every partition from its start to its end once.
func (r *reader) pass() error {
	for _, p := range r.mine {
		r.next[p] = 0
	}
	for {
		req := r.request()
		if req == nil {
			return nil
		}
		r.conn.next++
		if err := r.conn.send(encode(req), r.conn.next); err != nil {
			return fmt.Errorf("send a fetch request: %w", err)
		}
		before := r.bytes
		if err := r.response(); err != nil {
			return err
		}
		if r.bytes == before {
			return errors.New("a fetch below the end of the log returned no complete batch")
		}
	}
}

// request asks for what is left of each partition; nil when nothing is.
func (r *reader) request() *kmsg.FetchRequest {
	t := kmsg.NewFetchRequestTopic()
	t.Topic = r.topic
	for _, p := range r.mine {
		if r.next[p] >= r.ends[p] {
			continue
		}
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.FetchOffset = p, r.next[p]
		partition.PartitionMaxBytes = fetchMaxPartition
		t.Partitions = append(t.Partitions, partition)
	}
	if len(t.Partitions) == 0 {
		return nil
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version = fetchVersion
	req.MaxWaitMillis = int32(fetchMaxWait.Milliseconds())
	req.MinBytes, req.MaxBytes = 1, fetchMaxBytes
	req.SessionEpoch = -1 // no fetch session
	req.IsolationLevel = r.isolation
	req.Topics = append(req.Topics, t)
	return req
}

// response walks through a fetch response as it arrives. It is parsed by hand
// because decoding it as a whole would copy every record into memory first.
func (r *reader) response() error {
	var err error
	if r.left, err = r.conn.receiveHeader(r.conn.next); err != nil {
		return err
	}
	w := walker{r: r}
	w.tags() // of the response header
	w.skip(4)
	if code := w.int16(); w.err == nil && code != 0 {
		return fmt.Errorf("fetch: %w", kerr.ErrorForCode(code))
	}
	w.skip(4) // session id
	for range w.count() {
		w.skip(w.count()) // topic name
		for range w.count() {
			w.partition()
		}
		w.tags()
	}
	w.tags()
	if w.err != nil {
		return fmt.Errorf("read a fetch response: %w", w.err)
	}
	if r.left != 0 {
		return fmt.Errorf("a fetch response has %d bytes too many", r.left)
	}
	return nil
}

// walker reads a response from the connection piece by piece. After the first
// error it reads nothing more and returns zeros.
type walker struct {
	r   *reader
	err error
}

func (w *walker) peek(n int) []byte {
	if w.err == nil && n > w.r.left {
		w.err = fmt.Errorf("it ends %d bytes early", n-w.r.left)
	}
	if w.err != nil {
		return make([]byte, n)
	}
	b, err := w.r.conn.in.Peek(n)
	if err != nil {
		w.err = err
		return make([]byte, n)
	}
	return b
}

func (w *walker) skip(n int) {
	if w.err == nil && n > w.r.left {
		w.err = fmt.Errorf("it ends %d bytes early", n-w.r.left)
	}
	if w.err != nil {
		return
	}
	w.r.left -= n
	w.err = w.r.conn.discard(n)
}

func (w *walker) int16() int16 {
	v := int16(binary.BigEndian.Uint16(w.peek(2)))
	w.skip(2)
	return v
}

func (w *walker) int32() int32 {
	v := int32(binary.BigEndian.Uint32(w.peek(4)))
	w.skip(4)
	return v
}

func (w *walker) uvarint() int {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := w.peek(1)[0]
		w.skip(1)
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int(v)
		}
	}
	if w.err == nil {
		w.err = errors.New("a length has more than 32 bits")
	}
	return 0
}

// count reads the length of a compact array, string or byte field; null is 0.
func (w *walker) count() int { return max(0, w.uvarint()-1) }

// tags skips a section of tagged fields.
func (w *walker) tags() {
	for range w.uvarint() {
		w.uvarint()
		w.skip(w.uvarint())
		if w.err != nil {
			return
		}
	}
}

func (w *walker) partition() {
	partition := w.int32()
	if code := w.int16(); w.err == nil && code != 0 {
		w.err = fmt.Errorf("fetch %s-%d at %d: %w", w.r.topic, partition, w.r.next[partition], kerr.ErrorForCode(code))
		return
	}
	w.skip(3 * 8) // high watermark, last stable offset, log start offset
	aborted := w.count()
	w.r.aborted += int64(aborted)
	for range aborted {
		w.skip(2 * 8)
		w.tags()
	}
	w.skip(4) // preferred replica
	w.batches(partition, w.count())
	w.tags()
}

// batches looks at the headers of batches and throws the rest away. Data batches
// of a topic have one size here (makeBatch), so the first one's header tells how
// many came, unless the log has control batches between them: then each header is
// looked at. Were it not so, the next fetch would begin within a batch, and its
// first header would show that. A batch that is cut off at the end counts for nothing.
func (w *walker) batches(partition int32, size int) {
	for size >= batchOverhead && w.err == nil {
		head := w.peek(batchOverhead)
		base := int64(binary.BigEndian.Uint64(head))
		length := 12 + int(int32(binary.BigEndian.Uint32(head[8:])))
		records := int64(int32(binary.BigEndian.Uint32(head[23:]))) + 1
		if w.err != nil {
			return
		}
		if base != w.r.next[partition] || length < batchOverhead || head[16] != 2 {
			w.err = fmt.Errorf("%s-%d has a batch of offset %d, %d bytes, magic %d where offset %d was due",
				w.r.topic, partition, base, length, head[16], w.r.next[partition])
			return
		}
		complete := size / length
		if transactional := head[attributesAt+1]&isTransactional != 0; transactional {
			complete = min(1, complete)
		}
		taken := complete * length
		if complete == 0 {
			taken = size
		}
		w.skip(taken)
		size -= taken
		w.r.next[partition] += int64(complete) * records
		w.r.bytes += int64(complete) * int64(length)
	}
	w.skip(size)
}
