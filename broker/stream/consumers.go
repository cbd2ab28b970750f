package stream

import (
	"maps"
	"slices"
	"strings"

	"github.com/streamweir/streamweir/broker/topic"
)

const (
	maxConsumers         = 20
	maxConsumersOnDemand = 50 // of a stream in on-demand mode, with the account's commitment
)

// Register registers a consumer with enhanced fan-out.
func (m *Manager) Register(t *topic.Topic, name string, tags map[string]string) (*topic.Topic, *topic.Consumer, error) {
	committed, err := m.committed()
	if err != nil {
		return nil, nil, err
	}
	next, err := m.update(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if err := m.active(t); err != nil {
			return nil, err
		}
		if err := m.checkConsumer(t, name, tags, committed); err != nil {
			return nil, err
		}
		c := topic.Consumer{Name: name, CreatedAt: m.now(), Status: topic.Active, Tags: tags}
		if wait := m.config().KinesisTransitionMs; wait > 0 {
			c.Status, c.At = topic.Creating, c.CreatedAt+wait
		}
		// The second is in its ARN, which no consumer before it may have had.
		c.CreatedAt = max(c.CreatedAt, (s.LastConsumer/1000+1)*1000)
		s.Consumers = append(slices.Clone(s.Consumers), c)
		return nil, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return next, next.Stream.Consumer(name), nil
}

func (m *Manager) checkConsumer(t *topic.Topic, name string, tags map[string]string, committed bool) error {
	limit, creating := maxConsumers, 0
	if committed && t.Stream.Mode == topic.OnDemand {
		limit = maxConsumersOnDemand
	}
	for i := range t.Stream.Consumers {
		if t.Stream.Consumers[i].Status == topic.Creating {
			creating++
		}
	}
	switch {
	case t.Stream.Consumer(name) != nil:
		return Errorf(ResourceInUse, "Consumer %s under stream %s and account %s already exists.", name, t.Name, m.o.Account)
	case len(t.Stream.Consumers) >= limit:
		return Errorf(LimitExceeded, "Stream %s under account %s has %d registered consumers already, which is the limit.", t.Name, m.o.Account, limit)
	case creating >= maxCreating && !m.unlimited():
		return Errorf(LimitExceeded, "Only %d consumers of stream %s under account %s can be in state CREATING at a time.", maxCreating, t.Name, m.o.Account)
	}
	return checkTags(tags, nil, "consumer "+name, m.o.Account)
}

// ConsumersByName are the consumers of a stream in order of their names.
func ConsumersByName(t *topic.Topic) []*topic.Consumer {
	out := make([]*topic.Consumer, len(t.Stream.Consumers))
	for i := range out {
		out[i] = &t.Stream.Consumers[i]
	}
	slices.SortFunc(out, func(a, b *topic.Consumer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Deregister has a consumer deregistered.
func (m *Manager) Deregister(t *topic.Topic, c *topic.Consumer) error {
	next, err := m.updateConsumer(t, c, func(c *topic.Consumer) error {
		if c.Status != topic.Deleting {
			c.Status, c.At = topic.Deleting, m.now()+m.config().KinesisTransitionMs
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.settle(next)
	return nil
}

// updateConsumer changes a consumer, whose maps are not to be changed.
func (m *Manager) updateConsumer(t *topic.Topic, c *topic.Consumer, change func(c *topic.Consumer) error) (*topic.Topic, error) {
	return m.update(t, func(_ *topic.Topic, s *topic.Stream) (map[string]string, error) {
		s.Consumers = slices.Clone(s.Consumers)
		now := s.Consumer(c.Name)
		if now == nil || now.CreatedAt != c.CreatedAt {
			return nil, m.noConsumer(c.Name)
		}
		return nil, change(now)
	})
}

// advanceConsumers does what is due of the consumers of a stream.
func (m *Manager) advanceConsumers(t *topic.Topic) error {
	now := m.now()
	due := func(c topic.Consumer) bool { return c.At > 0 && c.At <= now }
	if t.Stream == nil || !slices.ContainsFunc(t.Stream.Consumers, due) {
		return nil
	}
	_, err := m.update(t, func(_ *topic.Topic, s *topic.Stream) (map[string]string, error) {
		var left []topic.Consumer
		for _, c := range s.Consumers {
			switch {
			case !due(c):
				left = append(left, c)
			case c.Status == topic.Creating:
				c.Status, c.At = topic.Active, 0
				left = append(left, c)
			default:
				s.LastConsumer = max(s.LastConsumer, c.CreatedAt)
			}
		}
		s.Consumers = left
		return nil, nil
	})
	return err
}

// resource is what has tags and a policy: a stream, or a consumer where that is
// not nil.
type resource struct {
	t *topic.Topic
	c *topic.Consumer
}

// resource finds a stream or a consumer by its ARN.
func (m *Manager) resource(arn string) (resource, error) {
	_, consumer, _, err := m.ParseARN(arn)
	if err != nil {
		return resource{}, err
	}
	if consumer != "" {
		t, c, err := m.FindConsumer(nil, nil, &arn)
		return resource{t, c}, err
	}
	t, err := m.Find(nil, &arn)
	return resource{t, nil}, err
}

func (r resource) name() string {
	if r.c != nil {
		return "consumer " + r.c.Name
	}
	return "stream " + r.t.Name
}

func (r resource) tags() map[string]string {
	if r.c != nil {
		return r.c.Tags
	}
	return r.t.Stream.Tags
}

// setTags sets what change makes of a copy of the tags.
func (m *Manager) setTags(r resource, change func(tags map[string]string) error) error {
	edit := func(tags *map[string]string) error {
		next := maps.Clone(*tags)
		if next == nil {
			next = map[string]string{}
		}
		if err := change(next); err != nil {
			return err
		}
		if len(next) == 0 {
			next = nil
		}
		*tags = next
		return nil
	}
	var err error
	if r.c != nil {
		_, err = m.updateConsumer(r.t, r.c, func(c *topic.Consumer) error { return edit(&c.Tags) })
	} else {
		_, err = m.update(r.t, func(_ *topic.Topic, s *topic.Stream) (map[string]string, error) { return nil, edit(&s.Tags) })
	}
	return err
}

// setPolicy sets the policy of a resource; an empty one removes it.
func (m *Manager) setPolicy(r resource, policy string) error {
	var err error
	if r.c != nil {
		_, err = m.updateConsumer(r.t, r.c, func(c *topic.Consumer) error {
			if c.Status != topic.Active {
				return Errorf(ResourceInUse, "Consumer %s with creation timestamp %d under stream %s and account %s is not in ACTIVE status.",
					c.Name, c.CreatedAt/1000, r.t.Name, m.o.Account)
			}
			c.Policy = policy
			return nil
		})
		return err
	}
	_, err = m.update(r.t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		s.Policy = policy
		return nil, m.active(t)
	})
	return err
}
