package progress

import (
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := &State{Total: 100 << 20, Started: start, Buffered: func() int64 { return 5 << 20 }}
	p.Read.Store(55 << 20)
	p.Acked.Store(1234567)
	for width, want := range map[int]string{
		200: " 50%  [============            ]  50.0 MiB of 100 MiB  5.00 MiB/s  ETA 0:10  1,234,567 acknowledged",
		70:  " 50%  [============            ]  50.0 MiB of 100 MiB  5.00 MiB/s",
		10:  " 50%  [============            ]",
	} {
		if got := p.line(start.Add(10*time.Second), width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	p.Total = -1
	p.Failed.Store(2)
	if got, want := p.line(start.Add(10*time.Second), 200), "50.0 MiB  5.00 MiB/s  0:10  1,234,567 acknowledged, 2 failed"; got != want {
		t.Errorf("without a total: %q, want %q", got, want)
	}
}

func TestSentence(t *testing.T) {
	for want, s := range map[string]Summary{
		"1 record acknowledged (5 B in 2.0 s, 2 B/s)":                                                                           {Acknowledged: 1, Bytes: 5, Seconds: 2},
		"0 records acknowledged (0 B in 0.0 s, 0 B/s), 3 failed":                                                                {Failed: 3},
		"2 records acknowledged (8 B in 1.0 s, 8 B/s), 4 without an answer: they may or may not have been written, interrupted": {Acknowledged: 2, Bytes: 8, Seconds: 1, Unknown: 4, Interrupted: true},
	} {
		if got := s.Sentence(Acknowledged); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
