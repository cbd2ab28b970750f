package kafkaapi

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// call is one request on its way to its response. Its handler answers it once,
// at any time and from any goroutine.
type call struct {
	c           *conn
	key         kafka.Key
	version     int16
	correlation int32
	clientID    string
	req         kmsg.Request
	frame       memory.Request
	start       time.Time
	making      bool // it has a place among the large answers that are made

	// What it is taken to need until its answer is sent, and how much of the budget of
	// answers it has for that; nothing where it is small. Guarded by c.mu once the call
	// is under way.
	need, owes int64
	left       bool // by its connection, which has ended: nothing is sent

	mu      sync.Mutex
	waiting func() // ends a wait early: the connection or the server ends

	// Set before done, read by the writer after it. done is guarded by c.mu.
	done   bool
	resp   kmsg.Response
	raw    []byte
	stream *fetchStream
	silent bool // no response is sent (acks=0)
	fatal  bool // the connection is closed instead
}

// reply answers with resp.
func (k *call) reply(resp kmsg.Response) {
	k.resp = resp
	k.finish()
}

// replyRaw answers with bytes that are encoded already, header and all.
func (k *call) replyRaw(raw []byte) {
	k.raw = raw
	k.finish()
}

// replyStream answers with a fetch response whose records are read while they
// are sent.
func (k *call) replyStream(f *fetchStream) {
	k.stream = f
	k.finish()
}

// replyNothing ends a request that has no response.
func (k *call) replyNothing() {
	k.silent = true
	k.finish()
}

// disconnect closes the connection once the requests before this one have been
// answered: the only way to tell of an error where no response is sent.
func (k *call) disconnect() {
	k.fatal = true
	k.finish()
}

func (k *call) finish() {
	k.frame.Release()
	k.req = nil
	c := k.c
	c.mu.Lock()
	k.done = true
	if len(c.calls) > 0 && c.calls[0] == k || c.closed {
		c.work.Signal()
	}
	var owed int64
	if k.left {
		owed = c.settle(k)
	}
	c.mu.Unlock()
	c.s.answers.give(c, owed)
}

// made gives up the place for making a large answer.
func (k *call) made() {
	if k.making {
		k.making = false
		k.c.s.answers.leave()
	}
}

// unmade gives back what admit has taken, of a call that does not come about.
func (k *call) unmade() {
	k.made()
	k.c.s.answers.give(k.c, k.owes)
}

// wait sets what ends the call's wait early. It reports false where the
// connection or the server is already ending: then nothing should wait.
func (k *call) wait(end func()) bool {
	k.mu.Lock()
	k.waiting = end
	k.mu.Unlock()
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	return !k.c.closed && !k.c.draining
}

func (k *call) hurry() {
	k.mu.Lock()
	end := k.waiting
	k.waiting = nil
	k.mu.Unlock()
	if end != nil {
		end()
	}
}

// appendHeader begins the response frame of k in dst. Its first four bytes are
// the frame's length, which the caller fills in.
func (k *call) appendHeader(dst []byte, resp kmsg.Response) []byte {
	return kafka.AppendResponseHeader(append(dst, 0, 0, 0, 0), k.correlation, resp)
}
