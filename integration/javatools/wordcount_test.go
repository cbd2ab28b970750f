package javatools

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

const (
	wordCountPartitions = 3
	wordsInLine         = 5
	differentWords      = 50
	linesAtOnce         = 5
	feedEvery           = 50 * time.Millisecond
)

// A Kafka Streams word count, exactly once, goes on where it was after it is
// killed and after the broker is killed, both in the middle of their work: the
// output has each count of each word once, in order, for those who read what is
// committed.
func TestStreamsWordCountSurvivesKills(t *testing.T) {
	s := harness.Start(t, harness.Config("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"))
	w := &wordCount{s: s, classes: compile(t, "WordCount"), application: harness.Name(t, "app"), state: t.TempDir(),
		input: harness.Topic(t, s, wordCountPartitions), output: harness.Topic(t, s, wordCountPartitions)}
	out := newCounts(t, w)
	stop := w.feed(t)

	app := w.start(t)
	out.readUntil(t, "counts of the first run", func() bool { return out.total > 500 })
	app.Signal(t, syscall.SIGKILL)
	app.Wait(t, toolTakes)

	app = w.start(t)
	sent := w.sent.Load()
	out.readUntil(t, "counts of the second run", func() bool { return out.total > sent })
	s.Kill(t)
	s.StartAgain(t)
	sent = w.sent.Load()
	out.readUntil(t, "counts after the broker's restart", func() bool { return out.total > sent })

	want := stop()
	out.readUntil(t, "all counts", func() bool { return out.total >= w.sent.Load() })
	app.Signal(t, syscall.SIGTERM)
	if code := app.Wait(t, toolTakes); code != 128+int(syscall.SIGTERM) || !strings.Contains(app.Stdout(), "closed: true") {
		t.Errorf("the application's end: exit code %d:\n%s", code, app.Output())
	}
	if !maps.Equal(out.last, want) {
		t.Errorf("counts %v, want %v", out.last, want)
	}
}

// wordCount is what a Kafka Streams application of this test works on.
type wordCount struct {
	s             *harness.Server
	classes       string
	application   string
	input, output string
	state         string
	sent          atomic.Int64 // words on their way to the input topic
}

// feed puts lines into the input topic until it is told to stop; then it says
// how often each word was sent.
func (w *wordCount) feed(t testing.TB) (stop func() map[string]int) {
	t.Helper()
	cl := harness.Client(t, w.s, kgo.DefaultProduceTopic(w.input))
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]int{}
	ctx, cancel := context.WithCancel(harness.Context(t, 2*toolTakes))
	var failed atomic.Pointer[error]
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(feedEvery); ctx.Err() == nil; {
			for range linesAtOnce {
				var words []string
				for range wordsInLine {
					words = append(words, fmt.Sprintf("word%d", random.IntN(differentWords)))
					want[words[len(words)-1]]++
				}
				w.sent.Add(wordsInLine)
				cl.Produce(context.Background(), kgo.StringRecord(strings.Join(words, " ")), func(_ *kgo.Record, err error) {
					if err != nil {
						failed.CompareAndSwap(nil, &err)
					}
				})
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
			}
		}
	}()
	end := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(end)
	return func() map[string]int {
		t.Helper()
		end()
		if err := cl.Flush(harness.Context(t, toolTakes)); err != nil {
			t.Fatalf("flush the input topic's producer: %v", err)
		}
		if err := failed.Load(); err != nil {
			t.Fatalf("produce to the input topic: %v", *err)
		}
		return want
	}
}

func (w *wordCount) start(t testing.TB) *harness.Command {
	t.Helper()
	cmd := tool(t, "WordCount", w.s.Addr(), w.application, w.state, w.input, w.output)
	cmd.Env = append(cmd.Env, "KAFKA_CLASSPATH="+w.classes)
	return harness.Background(t, cmd, nil)
}

// counts reads the output topic: each word has to be counted 1, 2, 3 ...
type counts struct {
	cl    *kgo.Client
	total int64
	last  map[string]int
}

func newCounts(t testing.TB, w *wordCount) *counts {
	return &counts{last: map[string]int{}, cl: harness.Client(t, w.s, kgo.ConsumeTopics(w.output),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))}
}

func (c *counts) readUntil(t testing.TB, what string, enough func() bool) {
	t.Helper()
	began := time.Now()
	defer func() { t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond)) }()
	ctx := harness.Context(t, toolTakes)
	for !enough() {
		fs := c.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s: not within %v; %d counts came", what, toolTakes, c.total)
		}
		// A broker that is down is an error of a fetch, and tried again.
		fs.EachRecord(func(r *kgo.Record) {
			word := string(r.Key)
			if n, err := strconv.Atoi(string(r.Value)); err != nil || n != c.last[word]+1 {
				t.Fatalf("%s-%d at %d: %q has the count %q after %d", r.Topic, r.Partition, r.Offset, word, r.Value, c.last[word])
			}
			c.last[word]++
			c.total++
		})
	}
}

// compile compiles a Java source of testdata and returns the directory of its
// classes.
func compile(t testing.TB, class string) string {
	t.Helper()
	javac := harness.NeedTool(t, "javac")
	if err := fetchOnce(); err != nil {
		t.Skipf("Apache Kafka's jars are not here: %v", err)
	}
	script, err := harness.KafkaScript()
	if err != nil {
		t.Fatal(err)
	}
	lib, err := exec.Command(script, "lib").Output()
	if err != nil {
		t.Fatalf("%s lib: %v", script, err)
	}
	dir := t.TempDir()
	harness.MustRun(t, toolTakes, exec.Command(javac, slices.Concat([]string{"-Xlint:all,-path", "-Werror", "-d", dir, "-cp", strings.TrimSpace(string(lib))},
		[]string{filepath.Join("testdata", class+".java")})...))
	return dir
}
