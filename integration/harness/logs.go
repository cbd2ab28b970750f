package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
)

// logTail is how much of a server's log a failing test shows.
const logTail = 64 << 10

// serverLog takes a server's output line by line: to a file, and to whoever
// waits for a line. It notes what no server may ever write.
type serverLog struct {
	mu      sync.Mutex
	file    *os.File
	partial []byte
	tail    []byte
	ready   chan readyLine // buffered; the first line that says ready
	said    bool
	crimes  []string // data races and panics
	record  int      // lines still to note after the last crime
}

// readyLine is the line with which the server says that it serves.
type readyLine struct {
	Msg       string `json:"msg"`
	KafkaAddr string `json:"kafka_addr"`
	AWSAddr   string `json:"aws_addr"`
	AdminAddr string `json:"admin_addr"`
}

const crimeLines = 60

func newServerLog(file *os.File) *serverLog {
	return &serverLog{file: file, ready: make(chan readyLine, 1)}
}

// Write implements io.Writer for exec.Cmd.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(p); err != nil {
		return 0, err
	}
	l.tail = append(l.tail, p...)
	if len(l.tail) > 2*logTail {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-logTail:]...)
	}
	l.partial = append(l.partial, p...)
	for {
		i := bytes.IndexByte(l.partial, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.line(l.partial[:i])
		l.partial = l.partial[i+1:]
	}
}

func (l *serverLog) line(b []byte) {
	s := string(b)
	switch {
	case strings.Contains(s, "WARNING: DATA RACE"), strings.HasPrefix(s, "panic: "),
		strings.HasPrefix(s, "fatal error: "), strings.Contains(s, `"level":"dpanic"`),
		strings.Contains(s, `"level":"panic"`):
		l.crimes = append(l.crimes, s)
		l.record = crimeLines
		return
	case l.record > 0:
		l.record--
		l.crimes[len(l.crimes)-1] += "\n" + s
	}
	if l.said || !bytes.Contains(b, []byte(`"ready"`)) {
		return
	}
	var r readyLine
	if json.Unmarshal(b, &r) == nil && r.Msg == "ready" {
		l.said = true
		l.ready <- r
	}
}

// crime returns what the server may not have written, or "".
func (l *serverLog) crime() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.crimes) == 0 {
		return ""
	}
	return fmt.Sprintf("%d data races or panics in the server's log; the first:\n%s", len(l.crimes), l.crimes[0])
}

func (l *serverLog) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.tail
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}
