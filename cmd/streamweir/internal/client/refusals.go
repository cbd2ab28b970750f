package client

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Refusal is what a broker said when it refused a batch.
type Refusal struct {
	Err     error  // the protocol's
	Message string // the broker's own words; may be empty
	// Records holds what is wrong with which records of the batch, by their
	// index in it. It is empty where the batch as a whole is refused.
	Records map[int32]string
}

func (r *Refusal) Error() string { return WithDetail(r.Err, r.Message).Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// Refusals reads along with the answers to a producer of one topic. The client
// library hands on the code of an error, but not what the broker says about it
// nor which records it means, and of errors that it retries it says nothing.
type Refusals struct {
	mu    sync.Mutex
	first map[int32]*Refusal // by partition; the first that was final
	last  *Refusal           // nil once something was accepted
}

// Options makes a client connect through r.
func (r *Refusals) Options(timeout time.Duration) []kgo.Opt {
	dialer := &net.Dialer{Timeout: timeout}
	return []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newTap(conn, r.answered), nil
	})}
}

// First returns the first final refusal of a batch of a partition, or nil.
func (r *Refusals) First(partition int32) *Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first[partition]
}

// Last returns what was refused last, or nil if something was accepted since.
func (r *Refusals) Last() *Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *Refusals) answered(resp *kmsg.ProduceResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			r.note(&t.Partitions[i])
		}
	}
}

func (r *Refusals) note(p *kmsg.ProduceResponseTopicPartition) {
	err := kerr.ErrorForCode(p.ErrorCode)
	if err == nil {
		r.last = nil
		return
	}
	refusal := &Refusal{Err: err, Records: make(map[int32]string, len(p.ErrorRecords))}
	if p.ErrorMessage != nil {
		refusal.Message = *p.ErrorMessage
	}
	for _, rec := range p.ErrorRecords {
		text := ""
		if rec.ErrorMessage != nil {
			text = *rec.ErrorMessage
		}
		refusal.Records[rec.RelativeOffset] = text
	}
	r.last = refusal
	if r.first == nil {
		r.first = map[int32]*Refusal{}
	}
	if r.first[p.Partition] == nil && !kerr.IsRetriable(err) {
		r.first[p.Partition] = refusal
	}
}

// tap is a connection whose Produce responses somebody reads along.
type tap struct {
	net.Conn
	answered func(*kmsg.ProduceResponse)
	out, in  frames

	mu      sync.Mutex
	waiting map[int32]int16 // correlation id -> version of the request
}

const (
	requestHead  = 4 + 2 + 2 + 4 // size, key, version, correlation id
	responseHead = 4 + 4         // size, correlation id
	// maxTapped bounds a response that is read along; one to a producer has
	// some bytes for each partition.
	maxTapped = 4 << 20
)

func newTap(conn net.Conn, answered func(*kmsg.ProduceResponse)) *tap {
	c := &tap{Conn: conn, answered: answered, waiting: map[int32]int16{}}
	c.out = frames{head: make([]byte, 0, requestHead), begin: c.asked}
	c.in = frames{head: make([]byte, 0, responseHead), begin: c.expected, end: c.got}
	return c
}

// Write looks first, since the answer may be there before Write returns.
func (c *tap) Write(b []byte) (int, error) {
	c.out.feed(b)
	return c.Conn.Write(b)
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.feed(b[:n])
	return n, err
}

func (c *tap) asked(head []byte, _ int) bool {
	if key := kmsg.Key(binary.BigEndian.Uint16(head[4:])); key == kmsg.Produce {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting[int32(binary.BigEndian.Uint32(head[8:]))] = int16(binary.BigEndian.Uint16(head[6:]))
	}
	return false
}

func (c *tap) expected(head []byte, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.waiting[int32(binary.BigEndian.Uint32(head[4:]))]
	return ok && size <= maxTapped
}

func (c *tap) got(head, body []byte) {
	id := int32(binary.BigEndian.Uint32(head[4:]))
	c.mu.Lock()
	version := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	resp := kmsg.NewPtrProduceResponse()
	resp.SetVersion(version)
	if resp.IsFlexible() {
		if len(body) == 0 || body[0] != 0 {
			return // a header with tags: there are none yet
		}
		body = body[1:]
	}
	// What cannot be read, the client library complains about.
	if resp.ReadFrom(body) == nil {
		c.answered(resp)
	}
}

// frames follows a stream of frames, each a size of 4 bytes and as many bytes,
// however they are cut.
type frames struct {
	head  []byte // of the frame under way; its capacity is how much of it begin wants
	left  int    // of the frame, behind the head
	body  []byte
	keep  bool
	lost  bool // the stream makes no sense
	begin func(head []byte, size int) (keep bool)
	end   func(head, body []byte)
}

func (f *frames) feed(b []byte) {
	for len(b) > 0 && !f.lost {
		if missing := cap(f.head) - len(f.head); missing > 0 {
			n := min(missing, len(b))
			f.head, b = append(f.head, b[:n]...), b[n:]
			if n < missing {
				return
			}
			f.left = int(int32(binary.BigEndian.Uint32(f.head))) - (cap(f.head) - 4)
			if f.lost = f.left < 0; f.lost {
				return
			}
			f.keep = f.begin(f.head, f.left)
		}
		n := min(f.left, len(b))
		if f.keep {
			f.body = append(f.body, b[:n]...)
		}
		b, f.left = b[n:], f.left-n
		if f.left == 0 {
			if f.keep {
				f.end(f.head, f.body)
			}
			f.head, f.body = f.head[:0], f.body[:0]
		}
	}
}
