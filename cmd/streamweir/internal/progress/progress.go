// Package progress shows how far a command that sends records has come, and
// words what became of them.
package progress

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

const (
	redrawEvery = 150 * time.Millisecond
	// eraseLine returns to the first column and clears to the end.
	eraseLine = "\r\x1b[K"
	barCells  = 24
	minWidth  = 40
)

// State is that of a running job. Its fields are read while they change.
type State struct {
	Total    int64 // bytes of input; negative if not known
	Read     atomic.Int64
	Acked    atomic.Int64
	Failed   atomic.Int64
	Started  time.Time
	Buffered func() int64 // bytes sent and not answered
}

// Bar draws the progress of a job on one line of a terminal. Lines that must
// not be torn by it are written through Println.
type Bar struct {
	w     io.Writer
	width func() int

	mu   sync.Mutex
	line string
}

// NewBar returns a bar on the terminal w.
func NewBar(w io.Writer) *Bar {
	return &Bar{w: w, width: func() int { return output.Width(w, 80) }}
}

// Watch redraws until ctx ends, and then erases the line.
func (b *Bar) Watch(ctx context.Context, p *State) {
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			b.draw(p.line(now, b.width()))
		case <-ctx.Done():
			b.draw("")
			return
		}
	}
}

// Println writes a line above the bar.
func (b *Bar) Println(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(b.w, "%s%s\n%s", eraseLine, line, b.line)
}

func (b *Bar) draw(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.line = line
	fmt.Fprint(b.w, eraseLine+line)
}

// line words the state of the job in at most width columns. What counts is
// what has been answered, not what has been read.
func (p *State) line(now time.Time, width int) string {
	done := max(p.Read.Load()-p.Buffered(), 0)
	elapsed := max(now.Sub(p.Started), time.Millisecond)
	rate := float64(done) / elapsed.Seconds()
	records := output.Count(p.Acked.Load()) + " acknowledged"
	if failed := p.Failed.Load(); failed > 0 {
		records += ", " + output.Count(failed) + " failed"
	}
	speed := output.Size(int64(rate)) + "/s"
	var parts []string
	if p.Total > 0 {
		share := min(float64(done)/float64(p.Total), 1)
		eta := "ETA -:--"
		if rate > 0 {
			eta = "ETA " + output.Clock(time.Duration(float64(p.Total-min(done, p.Total))/rate*float64(time.Second)))
		}
		parts = []string{
			fmt.Sprintf("%3.0f%%", share*100), bar(share),
			output.Size(done) + " of " + output.Size(p.Total), speed, eta, records,
		}
	} else {
		parts = []string{output.Size(done), speed, output.Clock(elapsed), records}
	}
	return fit(parts, width)
}

// bar draws a share between 0 and 1.
func bar(share float64) string {
	full := int(share * barCells)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", barCells-full) + "]"
}

// fit joins as many parts as there is room for, so that the line never wraps.
func fit(parts []string, width int) string {
	width = max(width, minWidth) - 1
	line := ""
	for _, part := range parts {
		next := part
		if line != "" {
			next = line + "  " + part
		}
		if len(next) > width {
			break
		}
		line = next
	}
	return line
}

// Summary is what became of a job.
type Summary struct {
	Acknowledged int64   `json:"acknowledged"`
	Failed       int64   `json:"failed"`
	Unknown      int64   `json:"unknown"` // sent, and the answer was not waited for
	Bytes        int64   `json:"bytes"`   // of keys and values acknowledged
	Seconds      float64 `json:"seconds"`
	Interrupted  bool    `json:"interrupted"`
}

// Acknowledged is the verb of a Sentence where an answer counts.
const Acknowledged = "acknowledged"

// Sentence words a summary for a person: what was done to the records is verb.
func (s Summary) Sentence(verb string) string {
	seconds := max(s.Seconds, 0.001)
	text := fmt.Sprintf("%s %s (%s in %.1f s, %s/s)", output.Plural(s.Acknowledged, "record"), verb,
		output.Size(s.Bytes), s.Seconds, output.Size(int64(float64(s.Bytes)/seconds)))
	if s.Failed > 0 {
		text += fmt.Sprintf(", %s failed", output.Count(s.Failed))
	}
	if s.Unknown > 0 {
		text += fmt.Sprintf(", %s without an answer: they may or may not have been written", output.Count(s.Unknown))
	}
	if s.Interrupted {
		text += ", interrupted"
	}
	return text
}
