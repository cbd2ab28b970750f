// Package stream is the life of streams: how they are made, change and go, by
// the terms of Kinesis, over the catalogue of topics and their partitions. A
// stream is a topic, and a shard is a partition of it.
//
// What takes its time in AWS takes kinesis.transition.ms here. What is to be done
// then is kept with the stream, so that a restart goes on with it.
package stream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// Manager makes the changes of streams that Kinesis knows.
type Manager struct {
	o     Options
	alarm *coordinator.Alarm

	// decisions is held by whoever counts what there is and then makes one more,
	// so that limits hold for calls side by side. As in the catalogue, this lasts
	// until the change is durable.
	decisions sync.Mutex

	mu   sync.Mutex
	due  map[storage.TopicID]int64         // when a stream has something to be done, in ms
	busy map[storage.TopicID]chan struct{} // streams that are being worked on

	reshards, retries atomic.Int64
}

// Options are what a Manager works with.
type Options struct {
	Topics     *topic.Catalogue
	Partitions *partition.Manager
	Meta       storage.Meta
	// Delete deletes a topic with its log.
	Delete func(id storage.TopicID) error
	// Account and Region stand in all ARNs.
	Account, Region string
	Clock           coordinator.Clock
	Log             *zap.Logger
}

// Open returns a manager, which goes on with what was under way.
func Open(o Options) *Manager {
	m := &Manager{o: o, due: map[storage.TopicID]int64{}, busy: map[storage.TopicID]chan struct{}{}}
	m.alarm = coordinator.NewAlarm(o.Clock, m.advanceDue)
	o.Topics.Watch(m.changed)
	for _, t := range o.Topics.Topics() {
		m.note(t)
	}
	return m
}

// Close ends the work on streams; what is not done yet is left for the next start.
func (m *Manager) Close() { m.alarm.Silence() }

// Account is the id of the AWS account that everything belongs to.
func (m *Manager) Account() string { return m.o.Account }

func (m *Manager) config() *config.Config { return m.o.Topics.Config() }

// Now is the time by which streams live.
func (m *Manager) Now() time.Time { return m.o.Clock.Now() }

// now is the time in ms.
func (m *Manager) now() int64 { return m.o.Clock.Now().UnixMilli() }

// unlimited says that rates are not limited.
func (m *Manager) unlimited() bool { return m.config().KinesisLimits == "off" }

// Stream finds a stream by its name.
func (m *Manager) Stream(name string) (*topic.Topic, error) {
	if t := m.o.Topics.Topic(name); t != nil && t.Stream != nil {
		return t, nil
	}
	return nil, m.noStream(name, m.o.Account)
}

// ByID finds a stream by the id of its topic, in the form in which storage.TopicID
// prints it.
func (m *Manager) ByID(id string) (*topic.Topic, error) {
	var key storage.TopicID
	if raw, err := hex.DecodeString(id); err == nil && len(raw) == len(key) {
		copy(key[:], raw)
		if t := m.o.Topics.TopicByID(key); t != nil && t.Stream != nil {
			return t, nil
		}
	}
	return nil, Errorf(ResourceNotFound, "The stream does not exist any more.")
}

// After lists the streams whose names come after name, as many as limit, and says
// whether there are more.
func (m *Manager) After(name string, limit int) (found []*topic.Topic, more bool) {
	all := m.o.Topics.Topics()
	from, _ := slices.BinarySearchFunc(all, name+"\x00", func(t *topic.Topic, name string) int { return strings.Compare(t.Name, name) })
	for _, t := range all[from:] {
		switch {
		case t.Stream == nil:
		case len(found) == limit:
			return found, true
		default:
			found = append(found, t)
		}
	}
	return found, false
}

func (m *Manager) noStream(name, account string) error {
	return Errorf(ResourceNotFound, "Stream %s under account %s not found.", name, account)
}

// AwaitShards returns when no shard of t is being closed: whoever was refused by
// a partition with a partition.SealedError looks the stream up again then, and
// finds the shard closed, with children, or open as before.
func (m *Manager) AwaitShards(ctx context.Context, t *topic.Topic) error {
	m.mu.Lock()
	done := m.busy[t.ID]
	m.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// active refuses what needs a stream that is ACTIVE.
func (m *Manager) active(t *topic.Topic) error {
	if t.Stream.Status != topic.Active {
		return Errorf(ResourceInUse, "Stream %s under account %s not ACTIVE, instead in state %s", t.Name, m.o.Account, t.Stream.Status)
	}
	return nil
}

// update changes a stream: change gets it as it is, with a copy of the stream to
// be changed, whose maps and slices are not; it may return configs to be set.
func (m *Manager) update(t *topic.Topic, change func(t *topic.Topic, s *topic.Stream) (map[string]string, error)) (*topic.Topic, error) {
	next, err := m.o.Topics.ChangeStream(t.ID, func(t *topic.Topic) (*topic.StreamChange, error) {
		ch := &topic.StreamChange{Stream: *t.Stream}
		configs, err := change(t, &ch.Stream)
		if err != nil {
			return nil, err
		}
		ch.Configs = configs
		return ch, nil
	})
	if err != nil {
		return nil, m.translate(err, t.Name)
	}
	return next, nil
}

// translate gives an error of the catalogue the type that Kinesis has for it.
func (m *Manager) translate(err error, name string) error {
	var refusal *topic.Error
	switch {
	case !errors.As(err, &refusal):
		return err
	case refusal.Kafka == kerr.UnknownTopicID:
		return m.noStream(name, m.o.Account)
	case refusal.Kafka == kerr.PolicyViolation:
		return Errorf(LimitExceeded, "%s", refusal.Detail)
	case refusal.Kafka == kerr.TopicAlreadyExists:
		return Errorf(ResourceInUse, "Stream %s under account %s already exists.", name, m.o.Account)
	default:
		return Errorf(InvalidArgument, "%s", refusal.Detail)
	}
}

// begin has a stream change its status for a while, and then be ACTIVE again.
func (m *Manager) begin(s *topic.Stream, status topic.StreamStatus, then topic.PendingChange) {
	wait := m.config().KinesisTransitionMs
	if wait == 0 && len(then.Steps) == 0 && !then.Delete {
		s.Status, s.Pending = topic.Active, nil
		return
	}
	then.At = m.now() + wait
	s.Status, s.Pending = status, &then
}

// settle does what is due of a stream at once, where no time is to pass. If that
// fails, it is tried again later, as after a restart.
func (m *Manager) settle(t *topic.Topic) {
	if at := nextDue(t.Stream); at == 0 || at > m.now() {
		return
	}
	if err := m.advance(t.ID); err != nil {
		m.retry(t.ID, err)
	}
}

const retryAfter = time.Second

func (m *Manager) retry(id storage.TopicID, err error) {
	m.retries.Add(1)
	m.o.Log.Error("a change of a stream could not be finished; it is tried again", zap.Stringer("topic", id), zap.Error(err))
	at := m.o.Clock.Now().Add(retryAfter)
	m.mu.Lock()
	m.due[id] = at.UnixMilli()
	m.mu.Unlock()
	m.alarm.At(at)
}

// nextDue is when s has something to be done, in ms, or 0.
func nextDue(s *topic.Stream) int64 {
	at := int64(0)
	if s.Pending != nil {
		at = s.Pending.At
	}
	for i := range s.Consumers {
		if c := &s.Consumers[i]; c.At > 0 && (at == 0 || c.At < at) {
			at = c.At
		}
	}
	return at
}

// changed is told of every change of a topic.
func (m *Manager) changed(ch topic.Change) {
	if ch.New != nil {
		m.note(ch.New)
		return
	}
	m.forget(ch.Old.ID)
}

func (m *Manager) forget(id storage.TopicID) {
	m.mu.Lock()
	delete(m.due, id)
	m.mu.Unlock()
}

// note takes down when a stream has something to be done.
func (m *Manager) note(t *topic.Topic) {
	if t == nil || t.Stream == nil {
		return
	}
	at := nextDue(t.Stream)
	m.mu.Lock()
	if at == 0 {
		delete(m.due, t.ID)
	} else {
		m.due[t.ID] = at
	}
	m.mu.Unlock()
	if at > 0 {
		m.alarm.At(time.UnixMilli(at))
	}
}

// advanceDue does what is due of all streams. The alarm calls it.
func (m *Manager) advanceDue() {
	now := m.now()
	var ready []storage.TopicID
	m.mu.Lock()
	for id, at := range m.due {
		if at <= now {
			ready = append(ready, id)
		}
	}
	m.mu.Unlock()
	for _, id := range ready {
		if err := m.advance(id); err != nil {
			m.retry(id, err)
		}
	}
	next := int64(0)
	m.mu.Lock()
	for _, at := range m.due {
		if next == 0 || at < next {
			next = at
		}
	}
	m.mu.Unlock()
	if next > 0 {
		m.alarm.At(time.UnixMilli(next))
	}
}

// enter makes the caller the only one who works on a stream, until leave.
func (m *Manager) enter(id storage.TopicID) (leave func()) {
	for {
		m.mu.Lock()
		other := m.busy[id]
		if other == nil {
			mine := make(chan struct{})
			m.busy[id] = mine
			m.mu.Unlock()
			return func() {
				m.mu.Lock()
				delete(m.busy, id)
				m.mu.Unlock()
				close(mine)
			}
		}
		m.mu.Unlock()
		<-other
	}
}

// advance does what is due of one stream.
func (m *Manager) advance(id storage.TopicID) error {
	defer m.enter(id)()
	t := m.o.Topics.TopicByID(id)
	if t == nil {
		m.forget(id)
		return nil
	}
	if err := m.advancePending(t); err != nil {
		return fmt.Errorf("stream %s, %s: %w", t.Name, t.Stream.Status, err)
	}
	if t = m.o.Topics.TopicByID(id); t == nil {
		return nil
	}
	if err := m.advanceConsumers(t); err != nil {
		return fmt.Errorf("consumers of stream %s: %w", t.Name, err)
	}
	m.note(m.o.Topics.TopicByID(id))
	return nil
}

func (m *Manager) advancePending(t *topic.Topic) error {
	p := t.Stream.Pending
	if p == nil || p.At > m.now() {
		return nil
	}
	switch {
	case p.Delete:
		return m.o.Delete(t.ID)
	case len(p.Steps) > 0:
		return m.reshard(t, p)
	}
	return m.end(t, p)
}

// end makes a stream ACTIVE again.
func (m *Manager) end(t *topic.Topic, p *topic.PendingChange) error {
	_, err := m.update(t, func(_ *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if s.Pending == p {
			s.Status, s.Pending = topic.Active, nil
		}
		return nil, nil
	})
	return err
}
