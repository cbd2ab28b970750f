package records

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

const (
	// sessionLife is how long a subscription lasts.
	sessionLife = 5 * time.Minute
	// keepAlive is how long a subscription is silent at most.
	keepAlive = 5 * time.Second
	// eventBytes and eventRecords bound one event, but for a record that is larger.
	eventBytes   = 1 << 20
	eventRecords = 10_000
)

// Subscription pushes the records of one shard to one consumer. It belongs to
// one goroutine, which calls Next until that fails, and then Close.
type Subscription struct {
	m      *Manager
	topic  storage.TopicID
	name   string // of the stream
	key    sessionKey
	quotas *quota.Consumer
	until  time.Time
	wake   chan struct{}
	state  subState // guarded by sessions.mu

	at    int64 // the offset to go on at
	last  time.Time
	out   *Records
	told  bool // an event was sent
	ended bool // the end of the shard was told
}

type subState uint8

const (
	active subState = iota
	replaced
	closed
)

// Event is what a subscription sends at a time.
type Event struct {
	*Records
	Shard Shard
	// Children are the shards that go on where a closed one ends: with them there
	// is no offset to continue at.
	Children []*shard.Shard
}

// CheckSubscription returns the offset that a subscription would begin at.
func (m *Manager) CheckSubscription(sh Shard, c *topic.Consumer, at Position) (int64, error) {
	if c.Status != topic.Active {
		return 0, stream.Errorf(stream.ResourceInUse, "Consumer %s with creation timestamp %d under stream: %s , account %s is not in ACTIVE status.",
			c.Name, c.CreatedAt/1000, sh.Topic.Name, m.streams.Account())
	}
	return m.Locate(sh, at, "SubscribeToShard")
}

// Subscribe begins a subscription. It takes over from another of the same
// consumer to the same shard, unless that has begun just now.
func (m *Manager) Subscribe(sh Shard, c *topic.Consumer, at Position) (*Subscription, error) {
	quotas := m.quotas.Stream(sh.Topic.ID, sh.Topic.Name).Consumer(c.Name)
	offset, err := m.CheckSubscription(sh, c, at)
	if err != nil {
		quotas.Add(quota.ConsumerSuccess, 0)
		return nil, err
	}
	now := m.clock.Now()
	s := &Subscription{
		m: m, topic: sh.Topic.ID, name: sh.Topic.Name, key: sessionKey{c.Name, c.CreatedAt, sh.Index},
		quotas: quotas, until: now.Add(sessionLife), wake: make(chan struct{}, 1),
		at: offset, last: now, out: newRecords(m.memory, 2),
	}
	s.out.Next = offset // until something is read
	if !m.sessions.claim(s, now, m.quotas.Enforced()) {
		quotas.Add(quota.ConsumerRateExceeded, 1)
		quotas.Add(quota.ConsumerSuccess, 0)
		return nil, s.inUse()
	}
	quotas.Add(quota.ConsumerSuccess, 1)
	return s, nil
}

func (s *Subscription) inUse() error {
	return stream.Errorf(stream.ResourceInUse, "Another active subscription exists for this consumer: %s:%s:%s:%s",
		s.m.streams.Account(), s.name, shard.FormatID(s.key.shard), s.key.consumer)
}

// nudge wakes the subscription up.
func (s *Subscription) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Until is when the subscription ends.
func (s *Subscription) Until() time.Time { return s.until }

// Next waits for the next event: records, or none for some time. The event is
// valid until the call after. io.EOF is the end of a subscription that went as it
// should; any other error is one that the consumer is told.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	s.out.Release()
	for {
		sh, err := s.look()
		if err != nil {
			return Event{}, err
		}
		wait := s.quotas.Wait(s.key.shard, unlimited(sh.Topic))
		if wait > 0 {
			s.out.arena.withdraw() // nobody waits for what is not to be read yet
		} else if s.out.arena.collect() {
			more, err := s.read(sh)
			if err != nil {
				return Event{}, err
			}
			if len(s.out.List) > 0 || s.out.End {
				return s.event(sh), nil
			}
			if more {
				continue
			}
			if !s.told && s.out.arena.ticket == nil {
				// From now on the consumer knows where to go on, also where its
				// position was LATEST and the connection is lost.
				return s.event(sh), nil
			}
		}
		now := s.m.clock.Now()
		if !now.Before(s.last.Add(keepAlive)) {
			return s.event(sh), nil
		}
		if err := s.await(ctx, sh, now, wait); err != nil {
			return Event{}, err
		}
	}
}

// read reads an event, or asks for the memory that it takes. It says whether there
// may be more behind what nobody is shown.
func (s *Subscription) read(sh Shard) (more bool, err error) {
	err = s.m.read(sh, s.at, eventRecords, eventBytes, s.out)
	if full := (*noRoom)(nil); errors.As(err, &full) {
		s.out.Next = s.at
		s.out.arena.ask(full.need)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	more = s.out.Next > s.at
	s.at = s.out.Next
	return more, nil
}

// look finds out whether the subscription goes on, and what its shard is now.
func (s *Subscription) look() (Shard, error) {
	switch s.m.sessions.stateOf(s) {
	case replaced:
		return Shard{}, s.inUse()
	case closed:
		return Shard{}, io.EOF
	}
	if s.ended || !s.m.clock.Now().Before(s.until) {
		return Shard{}, io.EOF
	}
	account := s.m.streams.Account()
	t := s.m.topics.TopicByID(s.topic)
	if t == nil || t.Stream == nil {
		return Shard{}, stream.Errorf(stream.ResourceNotFound, "Stream %s under account %s not found.", s.name, account)
	}
	if !s.registered(t) {
		return Shard{}, stream.Errorf(stream.ResourceNotFound, "Consumer %s, account %s not found.", s.key.consumer, account)
	}
	return s.m.shard(t, s.key.shard)
}

// registered says whether the consumer still is.
func (s *Subscription) registered(t *topic.Topic) bool {
	return registered(t, &topic.Consumer{Name: s.key.consumer, CreatedAt: s.key.createdAt})
}

// event makes an event of what was read.
func (s *Subscription) event(sh Shard) Event {
	s.last, s.told = s.m.clock.Now(), true
	e := Event{Records: s.out, Shard: sh}
	// The last records come with a place to go on at, and the end after them.
	if s.out.End && len(s.out.List) == 0 {
		s.ended = true
		e.Children = sh.Topic.Stream.Lineage.Children(sh.Index)
	}
	s.quotas.Sent(s.key.shard, len(s.out.List), s.out.Bytes, millis(s.out.Behind), unlimited(sh.Topic))
	return e
}

// await waits until there may be something to do: after wait, where that is not
// 0, or when memory is there that was asked for or some is to be made free, or else
// when something has been committed; or when a time has come.
func (s *Subscription) await(ctx context.Context, sh Shard, now time.Time, wait time.Duration) error {
	due := min(s.last.Add(keepAlive).Sub(now), s.until.Sub(now))
	switch {
	case wait > 0:
		due = min(due, wait)
	case s.out.arena.ticket == nil:
		w := partition.NewWatch(1, s.nudge)
		w.Committed = true
		sh.partition.Watch(w, s.out.stable)
		defer sh.partition.Unwatch(w)
	default:
		due = min(due, s.m.Outgoing.Haste.Patience)
	}
	stop := s.m.clock.AfterFunc(max(due, 0), s.nudge)
	defer stop()
	select {
	case <-s.wake:
		if s.out.arena.ticket != nil {
			s.m.memory.makeRoom()
		}
		return nil
	case <-s.out.arena.granted():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.out.arena.withdraw()
	s.out.Release()
	t := s.m.topics.TopicByID(s.topic)
	s.m.sessions.end(s, s.m.clock.Now(), t != nil && t.Stream != nil && s.registered(t))
}

// Subscriptions is how many subscriptions there are.
func (m *Manager) Subscriptions() int {
	m.sessions.mu.Lock()
	defer m.sessions.mu.Unlock()
	return m.sessions.open
}

// Close ends all subscriptions, and lets none begin: what waits in Next returns.
func (m *Manager) Close() { m.sessions.close() }
