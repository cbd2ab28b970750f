package stream

import "github.com/streamweir/streamweir/broker/topic"

// Stats are figures of streams; counters count since the start.
type Stats struct {
	Streams, Changing int   // all, and those that are not ACTIVE
	OpenShards        int64 // of all modes
	Consumers         int   // with enhanced fan-out
	Reshards          int64 // that are done
	Retries           int64 // of changes that could not be finished
}

// Stats returns the figures.
func (m *Manager) Stats() Stats {
	s := Stats{Reshards: m.reshards.Load(), Retries: m.retries.Load()}
	for _, t := range m.o.Topics.Topics() {
		if t.Stream == nil {
			continue
		}
		s.Streams++
		if t.Stream.Status != topic.Active {
			s.Changing++
		}
		s.OpenShards += int64(t.Stream.OpenShards())
		s.Consumers += len(t.Stream.Consumers)
	}
	return s
}
