package kafkaapi

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// answers bounds the memory of answers, which clients can ask for and then not read.
//
// What most answers need follows from their requests (answerNeeds). Each connection has
// a little of that for itself; what is more is taken of a budget that all connections
// share, from before the request is decoded until its answer is sent, and waits there if
// it must. Of the answers that need more than their requests say (mayBeLarge), few are
// made at a time, and each takes its length of the budget once it is encoded.
//
// Whoever has something of the budget waits for nothing that others hold who wait for
// the budget: not for a place to make an answer, nor for more of the budget. It is given
// back, so, by clients that read. While some wait, connections that have taken
// something and do not read are closed, and calls that wait for data or for members of
// a group are answered now.
type answers struct {
	making chan struct{}
	budget *memory.Budget

	// hurry is how often those who wait look for clients that do not read, silence
	// after what time they are such.
	hurry, silence time.Duration

	mu      sync.Mutex
	debtors map[*conn]int64 // what each has of the budget
	looked  time.Time
}

// mostMaking is how many large answers are made at a time: until it is encoded, one
// takes several times its length.
const mostMaking = 2

// slowSend is how long a client may still need to read what is being sent while others
// wait.
const slowSend = 5 * time.Second

// smallAnswers is how much the answers of one connection may need without taking
// anything of the budget.
const smallAnswers = 64 << 10

func newAnswers(bytes int64) *answers {
	return &answers{
		making: make(chan struct{}, mostMaking), budget: memory.NewBudget(bytes),
		hurry: 250 * time.Millisecond, silence: time.Second, debtors: map[*conn]int64{},
	}
}

// What a request and its answer take, decoded and encoded, at most (see
// TestAnswersNeedNoMoreThanIsTaken).
const (
	callNeeds     = 768
	versionsNeeds = 2 << 10 // the list of all APIs
	tagNeeds      = 160     // an unknown tagged field
	plainNeeds    = 4       // each byte of names and numbers
)

// elementNeeds is what an element of an array of the request takes, such as a
// partition, with its part of the answer.
func elementNeeds(key kafka.Key) int64 {
	if key == kafka.Fetch {
		return 768
	}
	return 256
}

// answerNeeds is how much memory a request and its answer take until that is sent, as far
// as the request says.
func answerNeeds(key kafka.Key, what *kafka.Measured) int64 {
	switch key {
	case kafka.JoinGroup, kafka.SyncGroup:
		// What is answered lies in the group. These wait for other members, which must
		// not have to wait for what these have taken.
		return callNeeds
	case kafka.APIVersions:
		return callNeeds + versionsNeeds
	}
	return callNeeds + int64(what.Elements)*elementNeeds(key) + int64(what.Tags)*tagNeeds + int64(what.Plain)*plainNeeds
}

// many is from how many things on an answer about them may be large.
const many = 100

// asksForMore names the APIs whose requests may ask for more than they say themselves:
// lists of all that there is, or of what belongs to each of many things.
func asksForMore(key kafka.Key) bool {
	switch key {
	case kafka.Metadata, kafka.DescribeConfigs, kafka.OffsetFetch, kafka.DescribeLogDirs, kafka.DescribeTopicPartitions,
		kafka.ListConfigResources, kafka.ListGroups, kafka.DescribeGroups, kafka.ListTransactions, kafka.DescribeTransactions,
		kafka.DescribeProducers:
		return true
	}
	return false
}

// mayBeLarge says whether this request does so.
func mayBeLarge(key kafka.Key, what *kafka.Measured) bool {
	switch key {
	case kafka.Metadata:
		return what.Elements == 0 || what.Elements > many
	case kafka.OffsetFetch:
		return what.Elements > many
	case kafka.DescribeConfigs:
		return what.Elements > 1 // one is up to 100 KB
	}
	return asksForMore(key)
}

// growsWhenEncoded says whether an answer is small until it is encoded and may be
// large then: each partition of an OffsetFetch has up to 4 KB of metadata, which the
// group has in memory once. Requests that name few partitions may ask for all.
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

// admit waits until the answer to a request may be made, and reports false, with nothing
// taken, where the client has gone meanwhile.
func (a *answers) admit(k *call, what *kafka.Measured) bool {
	if mayBeLarge(k.key, what) {
		if k.making = a.enter(k.c); !k.making {
			return false
		}
	}
	if k.c.answersFit(k.need) {
		return true
	}
	if !a.take(k.c, k.need) {
		k.made()
		return false
	}
	k.owes = k.need
	return true
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

// take takes n bytes of the budget, waiting for them if it must. It reports false where
// the client has gone meanwhile.
func (a *answers) take(c *conn, n int64) bool {
	if !a.budget.TryAcquire(n) {
		c.s.metrics.answerWaits.Inc()
		if !a.budget.Ask(n).Await(a.hurry, a.closeSlow, c.gone, nil) {
			return false
		}
	}
	a.owe(c, n)
	return true
}

// overdraw takes n bytes without waiting: of what is in memory already.
func (a *answers) overdraw(c *conn, n int64) {
	if n > 0 {
		a.budget.Overdraw(n)
		a.owe(c, n)
	}
}

// give gives n bytes back.
func (a *answers) give(c *conn, n int64) {
	if n > 0 {
		a.owe(c, -n)
		a.budget.Release(n)
	}
}

func (a *answers) owe(c *conn, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.debtors[c] += n; a.debtors[c] == 0 {
		delete(a.debtors, c)
	}
}

// encoded replaces what k was taken to need by the size of its encoded answer. It reports
// false where the client has gone while it waited for more.
func (a *answers) encoded(k *call, size int64) bool {
	a.relieve()
	c := k.c
	had := c.owes(k, 0)
	switch {
	case size <= had:
		a.give(c, had-size)
	case smallAnswer[k.key]:
		// Calls behind it may have taken something, so it must not wait.
		a.overdraw(c, size-had)
	default:
		a.give(c, had)
		if !a.take(c, size) {
			return false
		}
	}
	c.owes(k, size)
	return true
}

// grew adds to what k's answer needs, where that turns out to be more than its request
// said.
func (a *answers) grew(k *call, more int64) {
	if more > 0 {
		a.overdraw(k.c, k.c.needs(k, more))
	}
}

// relieve makes room where more is taken than there is, as nobody may wait for it.
func (a *answers) relieve() {
	if a.budget.Over() {
		a.closeSlow()
	}
}

// closeSlow closes the connections that have something of the budget and do not read, and
// hurries those of which nothing is sent.
func (a *answers) closeSlow() {
	now := time.Now()
	a.mu.Lock()
	if now.Sub(a.looked) < a.hurry/2 {
		a.mu.Unlock()
		return // another one has just looked
	}
	a.looked = now
	debtors := make([]*conn, 0, len(a.debtors))
	for c := range a.debtors {
		debtors = append(debtors, c)
	}
	a.mu.Unlock()
	for _, c := range debtors {
		switch sending, slow := c.reads(now, a.silence); {
		case slow:
			c.s.metrics.slowReaders.Inc()
			c.log.Warn("a connection is closed: it did not read an answer while others waited for memory")
			c.close()
		case !sending:
			c.hurry()
		}
	}
}

// flow is how a client takes what it is sent.
type flow struct {
	size, sent int64
	took       time.Duration // by the client, so far
	since      time.Time     // when the present piece began, zero where nothing is waited for
}

func (f *flow) moved(now time.Time, n int64) {
	f.took += now.Sub(f.since)
	f.since = time.Time{}
	f.sent += n
}

// slow says whether the client takes nothing for the time of silence, or takes too long
// for the rest at its rate until now; that of the first second says nothing.
func (f *flow) slow(now time.Time, silence time.Duration) bool {
	if f.since.IsZero() {
		return false
	}
	waits := now.Sub(f.since)
	if waits >= silence {
		return true
	}
	took := f.took + waits
	if took < time.Second {
		return false
	}
	return float64(f.size-f.sent)/float64(f.sent+1)*float64(took) > float64(slowSend)
}
