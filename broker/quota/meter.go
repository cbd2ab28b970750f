package quota

import "time"

// Statistics are CloudWatch's, of the values that came within one minute.
type Statistics struct {
	Count, Sum, Min, Max float64
}

func (s *Statistics) add(v float64) {
	if s.Count == 0 {
		s.Min, s.Max = v, v
	}
	s.Count++
	s.Sum += v
	s.Min, s.Max = min(s.Min, v), max(s.Max, v)
}

// meter gathers the values of a metric minute by minute. Whoever owns it has a
// lock.
type meter struct {
	minute        int64 // since 1970; of current
	current, last Statistics
}

func (m *meter) add(minute int64, v float64) {
	m.roll(minute)
	m.current.add(v)
}

func (m *meter) roll(minute int64) {
	switch {
	case minute <= m.minute: // a clock that was set back waits for its minute
		return
	case minute == m.minute+1:
		m.last = m.current
	default:
		m.last = Statistics{}
	}
	m.minute, m.current = minute, Statistics{}
}

// whole returns the statistics of the last whole minute.
func (m *meter) whole(minute int64) Statistics {
	m.roll(minute)
	return m.last
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }
