package kafkaapi

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/memory"
)

// answers bounds the memory of large answers, which clients can ask for with a few
// bytes and then not read. Few of them are made at a time, and those that are made
// and not sent yet share a budget. Where others wait for that, the connections that
// do not read theirs are closed.
//
// Answers of Fetch are not held in memory, and no concern of this.
type answers struct {
	making chan struct{}
	budget *memory.Budget

	// hurry is how often one that waits looks for clients that do not read, silence
	// after what time they are such.
	hurry, silence time.Duration

	mu      sync.Mutex
	sending map[*sending]struct{}
}

// mostMaking is how many large answers are made at a time: until it is encoded, one
// takes several times its length.
const mostMaking = 2

// slowSend is how long a client may still need to read an answer while others wait.
const slowSend = 5 * time.Second

func newAnswers(bytes int64) *answers {
	return &answers{
		making: make(chan struct{}, mostMaking), budget: memory.NewBudget(bytes),
		hurry: 250 * time.Millisecond, silence: time.Second, sending: map[*sending]struct{}{},
	}
}

// sending is a large answer on its way to its client.
type sending struct {
	a    *answers
	c    *conn
	size int64

	// Guarded by a.mu.
	sent        int64
	began, last time.Time
}

// many is from how many things on an answer about them may be large.
const many = 100

// mayBeLarge says whether a request asks for more than it says itself: lists of all
// that there is, or of many things.
func mayBeLarge(req kmsg.Request) bool {
	switch r := req.(type) {
	case *kmsg.MetadataRequest:
		return len(r.Topics) == 0 || len(r.Topics) > many
	case *kmsg.DescribeConfigsRequest:
		return len(r.Resources) > many
	case *kmsg.DescribeLogDirsRequest, *kmsg.DescribeTopicPartitionsRequest, *kmsg.ListConfigResourcesRequest, *kmsg.ListGroupsRequest,
		*kmsg.DescribeGroupsRequest, *kmsg.ListTransactionsRequest, *kmsg.DescribeTransactionsRequest, *kmsg.DescribeProducersRequest:
		return true
	}
	return false
}

// growsWhenEncoded says whether an answer is small until it is encoded and may be
// large then: each partition of an OffsetFetch has up to 4 KB of metadata, which the
// group has in memory once.
func growsWhenEncoded(resp kmsg.Response) bool {
	r, ok := resp.(*kmsg.OffsetFetchResponse)
	if !ok {
		return false
	}
	n := 0
	for i := range r.Topics {
		n += len(r.Topics[i].Partitions)
	}
	for i := range r.Groups {
		for j := range r.Groups[i].Topics {
			n += len(r.Groups[i].Topics[j].Partitions)
		}
	}
	return n > many
}

// enter waits until a large answer may be made, and reports false where its client
// has gone meanwhile.
func (a *answers) enter(c *conn) bool {
	select {
	case a.making <- struct{}{}:
		return true
	case <-c.gone:
		return false
	}
}

func (a *answers) leave() { <-a.making }

// hold takes the memory of an answer of size bytes until it is sent. It returns nil
// where the client has gone meanwhile.
func (a *answers) hold(c *conn, size int) *sending {
	s := &sending{a: a, c: c, size: int64(size)}
	if !a.budget.TryAcquire(s.size) && !a.await(s) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.began = time.Now()
	s.last = s.began
	a.sending[s] = struct{}{}
	return s
}

func (a *answers) await(s *sending) bool {
	s.c.s.metrics.answerWaits.Inc()
	return a.budget.Ask(s.size).Await(a.hurry, a.closeSlow, s.c.gone, nil)
}

// closeSlow closes the connections that do not read their answers.
func (a *answers) closeSlow() {
	now := time.Now()
	var slow []*sending
	a.mu.Lock()
	for s := range a.sending {
		if now.Sub(s.last) >= a.silence || s.left(now) > slowSend {
			slow = append(slow, s)
			delete(a.sending, s) // it has been told
		}
	}
	a.mu.Unlock()
	for _, s := range slow {
		s.c.s.metrics.slowReaders.Inc()
		s.c.log.Warn("a connection is closed: it did not read an answer while others waited for memory")
		s.c.close()
	}
}

// left is how long the client takes for the rest at its rate until now; that of
// the first second says nothing.
func (s *sending) left(now time.Time) time.Duration {
	passed := now.Sub(s.began)
	if passed < time.Second {
		return 0
	}
	return time.Duration(float64(s.size-s.sent) / float64(s.sent+1) * float64(passed))
}

// wrote notes n bytes that the client has taken.
func (s *sending) wrote(n int) {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	s.sent += int64(n)
	s.last = time.Now()
}

// end gives the memory back.
func (s *sending) end() {
	s.a.mu.Lock()
	delete(s.a.sending, s)
	s.a.mu.Unlock()
	s.a.budget.Release(s.size)
}
