package records

import (
	"sync"
	"time"

	"github.com/streamweir/streamweir/storage"
)

// sessions are the subscriptions of all consumers. There is one for each
// consumer and shard: a new one takes the place of the old.
type sessions struct {
	mu      sync.Mutex
	claims  map[storage.TopicID]map[sessionKey]*claim
	open    int
	closing bool
}

// sessionKey names a consumer's registration and a shard.
type sessionKey struct {
	consumer  string
	createdAt int64
	shard     int32
}

// claim is the last subscription of a consumer to a shard. It is kept after that
// has ended, for as long as it keeps others away.
type claim struct {
	at  time.Time
	sub *Subscription // nil once it has ended
}

// takeOver is how long after a subscription the next one is refused.
const takeOver = 5 * time.Second

func (s *sessions) init() { s.claims = map[storage.TopicID]map[sessionKey]*claim{} }

// claim makes sub the subscription of its consumer and shard. It is false where
// another is too young to be taken over. strict says that this counts for one
// that has ended, too.
func (s *sessions) claim(sub *Subscription, now time.Time, strict bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	of := s.claims[sub.topic]
	if of == nil {
		of = map[sessionKey]*claim{}
		s.claims[sub.topic] = of
	}
	c := of[sub.key]
	if c != nil && now.Sub(c.at) < takeOver && (strict || c.sub != nil) {
		return false
	}
	if c != nil && c.sub != nil {
		c.sub.state = replaced
		c.sub.nudge()
	}
	of[sub.key] = &claim{now, sub}
	s.open++
	return true
}

// end notes that a subscription has ended. Its claim is kept for its time, unless
// nobody can come who is to be kept away.
func (s *sessions) end(sub *Subscription, now time.Time, registered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	c := s.claims[sub.topic][sub.key]
	if c == nil || c.sub != sub {
		return
	}
	c.sub = nil
	if !registered || now.Sub(c.at) >= takeOver {
		s.drop(sub.topic, sub.key)
	}
}

func (s *sessions) drop(id storage.TopicID, key sessionKey) {
	delete(s.claims[id], key)
	if len(s.claims[id]) == 0 {
		delete(s.claims, id)
	}
}

// stateOf says what has become of a subscription.
func (s *sessions) stateOf(sub *Subscription) subState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sub.state
}

// nudge has the subscriptions of a topic look at it again.
func (s *sessions) nudge(id storage.TopicID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.claims[id] {
		if c.sub != nil {
			c.sub.nudge()
		}
	}
}

// forget drops what is kept of subscriptions that have ended: of one consumer, or
// of a whole topic where consumer is empty.
func (s *sessions) forget(id storage.TopicID, consumer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, c := range s.claims[id] {
		if c.sub == nil && (consumer == "" || key.consumer == consumer) {
			s.drop(id, key)
		}
	}
}

// close ends all subscriptions.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for _, of := range s.claims {
		for _, c := range of {
			if c.sub != nil {
				c.sub.state = closed
				c.sub.nudge()
			}
		}
	}
}
