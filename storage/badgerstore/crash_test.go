package badgerstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/storage"
)

// Some tests need a process of their own: the test binary starts itself with
// childEnv set to one of these.
const childEnv, childDirEnv, childSyncEnv = "BADGERSTORE_TEST_CHILD", "BADGERSTORE_TEST_DIR", "BADGERSTORE_TEST_SYNC"

var children = map[string]func(dir string, always bool) error{
	"append":  childAppend,
	"tails":   childTails,
	"traced":  childTraced,
	"broken":  childBroken,
	"idle":    childIdle,
	"acked":   childAcked,
	"reap":    childReap,
	"replace": childReplace,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Getenv(childDirEnv), os.Getenv(childSyncEnv) != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(name, dir string, always bool, wrap ...string) *exec.Cmd {
	args := append(wrap, os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+name, childDirEnv+"="+dir)
	if always {
		cmd.Env = append(cmd.Env, childSyncEnv+"=1")
	}
	cmd.Stderr = os.Stderr
	return cmd
}

const crashPartitions, crashSize = 5, 3000

func crashPartition(i int) storage.Partition {
	return storage.Partition{Topic: storage.TopicID{0xcc}, Index: int32(i)}
}

func crashData(p storage.Partition, base int64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d/%d ", p.Index, base), crashSize/4)[:crashSize]
}

// childAppend appends for ever, and says on its output what is acknowledged.
func childAppend(dir string, always bool) error {
	o := smallFiles(dir)
	o.SyncAlways = always
	s, err := Open(o)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var fill func(p storage.Partition, base int64) *storage.Append
	fill = func(p storage.Partition, base int64) *storage.Append {
		return &storage.Append{
			Partition: p, Data: crashData(p, base), Epoch: int32(base / 100),
			Info: storage.BatchInfo{BaseOffset: base, LastOffset: base, MaxTimestamp: base, Size: crashSize},
			Done: func(a *storage.Append, err error) {
				mu.Lock()
				fmt.Println(p.Index, base, err)
				mu.Unlock()
				s.Log().Append(fill(p, base+4))
			},
		}
	}
	for i := range crashPartitions {
		p := crashPartition(i)
		_, end := s.Log().Bounds(p)
		s.Log().Append(fill(p, end), fill(p, end+1), fill(p, end+2), fill(p, end+3))
	}
	select {}
}

// TestKill kills a process at any moment, again and again, and looks for every
// batch that it has acknowledged.
func TestKill(t *testing.T) {
	for _, always := range []bool{false, true} {
		t.Run(syncName(always), func(t *testing.T) {
			dir := t.TempDir()
			acked := make([]int64, crashPartitions)
			for i := range acked {
				acked[i] = -1
			}
			for round := range 4 {
				cmd := child("append", dir, always)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(out)
				for n := 0; lines.Scan(); n++ {
					var index int
					var base int64
					var outcome string
					if k, err := fmt.Sscan(lines.Text(), &index, &base, &outcome); k != 3 {
						continue // cut off by the kill
					} else if err != nil || outcome != "<nil>" {
						t.Errorf("append %d of %d: %s", base, index, outcome)
					}
					if base < acked[index] {
						t.Errorf("acknowledged %d after %d", base, acked[index])
					}
					acked[index] = base
					if n == 300+400*round {
						if err := cmd.Process.Kill(); err != nil {
							t.Fatal(err)
						}
					}
				}
				_ = cmd.Wait() // it was killed
				checkAcked(t, dir, acked)
			}
		})
	}
}

func checkAcked(t *testing.T, dir string, acked []int64) {
	t.Helper()
	s := mustOpen(t, smallFiles(dir))
	defer s.Close()
	dst := make([]byte, crashSize)
	for i, last := range acked {
		p := crashPartition(i)
		if _, end := s.Log().Bounds(p); end <= last {
			t.Errorf("partition %d ends at %d, %d was acknowledged", i, end, last)
		}
		next := int64(0)
		if err := s.Log().Batches(p, 0, func(b storage.BatchInfo) bool {
			if b.BaseOffset != next {
				t.Errorf("partition %d: batch %d follows %d", i, b.BaseOffset, next)
			}
			if n, err := s.Log().Read(p, storage.Position{Base: b.BaseOffset}, dst); err != nil || !bytes.Equal(dst[:n], crashData(p, b.BaseOffset)) {
				t.Errorf("partition %d: batch %d: %v", i, b.BaseOffset, err)
			}
			next++
			return !t.Failed()
		}); err != nil {
			t.Error(err)
		}
		checkIndex(t, s, p)
	}
}

// checkIndex compares what the store keeps of a partition in memory with what
// the batches say.
func checkIndex(t *testing.T, s *Store, p storage.Partition) {
	t.Helper()
	segs := s.Log().Segments(p)
	i := 0
	var got storage.Segment
	if err := s.Log().Batches(p, 0, func(b storage.BatchInfo) bool {
		addBatch(&got, b)
		if i >= len(segs) {
			t.Errorf("%s: batch %d is in no segment", p, b.BaseOffset)
			return false
		}
		if got.Batches == segs[i].Batches {
			if got != segs[i] {
				t.Errorf("%s: segment %+v, its batches make %+v", p, segs[i], got)
			}
			got = storage.Segment{}
			i++
		}
		return true
	}); err != nil || i != len(segs) || got.Batches != 0 {
		t.Errorf("%s: %d of %d segments have batches, %d are left, %v", p, i, len(segs), got.Batches, err)
	}
}

// childTails writes logs of every length, and dies.
func childTails(dir string, _ bool) error {
	o := smallFiles(dir)
	o.SegmentBatches = 200
	s, err := Open(o)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range 300 {
		p := crashPartition(i)
		start, end := s.Log().Bounds(p)
		for k := range int64(i + 1) {
			wg.Add(1)
			s.Log().Append(&storage.Append{
				Partition: p, Data: make([]byte, 70), Epoch: int32(k % 50),
				Info: storage.BatchInfo{BaseOffset: end + k, LastOffset: end + k, MaxTimestamp: k * 7 % 100, Size: 70},
				Done: func(_ *storage.Append, err error) {
					if err != nil {
						fmt.Fprintln(os.Stderr, err)
					}
					wg.Done()
				},
			})
		}
		if i%3 == 0 {
			wg.Wait()
			if err := s.Log().Trim(p, start+int64(i)/2); err != nil {
				return err
			}
		}
		if i%7 == 0 {
			if err := s.Log().Drop(crashPartition(i - 1)); err != nil {
				return err
			}
		}
	}
	wg.Wait()
	fmt.Println("written")
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

// TestReopenAfterKill checks what is rebuilt at the start, from logs of every
// length around the snapshots that the store writes of them.
func TestReopenAfterKill(t *testing.T) {
	dir := t.TempDir()
	o := smallFiles(dir)
	o.SegmentBatches = 200
	for round := range int64(3) {
		out, err := child("tails", dir, false).Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), "written") {
			t.Fatalf("the child ended with %v: %s", err, out)
		}
		s := mustOpen(t, o)
		for i := range int64(300) {
			p := crashPartition(int(i))
			_, end := s.Log().Bounds(p)
			// What was dropped began again, in this round or in one before.
			if i%7 != 6 && end != (round+1)*(i+1) {
				t.Errorf("round %d: partition %d ends at %d, want %d", round, i, end, (round+1)*(i+1))
			}
			checkIndex(t, s, p)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// childTraced appends one batch after the other and marks each acknowledgement
// with a write to a file that the trace shows. The batches fill several
// memtables and value log files.
func childTraced(dir string, always bool) error {
	o := smallFiles(filepath.Join(dir, "data"))
	o.SyncAlways = always
	s, err := Open(o)
	if err != nil {
		return err
	}
	defer s.Close()
	marks, err := os.Create(filepath.Join(dir, "marks"))
	if err != nil {
		return err
	}
	defer marks.Close()
	for i := range int64(tracedAppends) {
		size := 700 << 10
		if i%3 > 0 {
			size = 100
		}
		if err := appendOne(s, fp, i, 0, make([]byte, size)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(marks, "acked %d\n", i); err != nil {
			return err
		}
	}
	return nil
}

const tracedAppends = 40

// TestSyncBeforeDone watches the system calls: with SyncAlways, each
// acknowledgement follows a sync of the value log and one of the write-ahead
// log, and the name of a new file is synced before anything in it is
// acknowledged.
func TestSyncBeforeDone(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	for _, always := range []bool{true, false} {
		t.Run(syncName(always), func(t *testing.T) {
			dir := t.TempDir()
			trace := filepath.Join(dir, "trace")
			cmd := child("traced", dir, always, strace, "-f", "-qq", "-y", "-e", "trace=msync,fsync,fdatasync,write,openat,mmap", "-o", trace)
			cmd.Stderr = nil
			if out, err := cmd.CombinedOutput(); err != nil {
				if strings.Contains(string(out), "PTRACE") || strings.Contains(string(out), "ptrace") {
					t.Skipf("strace may not trace here: %s", out)
				}
				t.Fatalf("%v: %s", err, out)
			}
			checkTrace(t, trace, always)
		})
	}
}

var (
	traceMark   = regexp.MustCompile(`write\(\d+<[^>]*/marks>, "acked (\d+)`)
	traceMsync  = regexp.MustCompile(`msync\(0x[0-9a-f]+, \d+, MS_SYNC`)
	traceCreate = regexp.MustCompile(`openat\(.*/data/log/\d+\.(mem|vlog)", [A-Z_|]*O_CREAT`)
	traceDir    = regexp.MustCompile(`fsync\(\d+<[^>]*/data/log>\)`)
	// strace cuts a call in two where another thread makes one meanwhile.
	traceResumed = regexp.MustCompile(`<\.\.\. \w+ resumed>(.*)`)
)

const traceUnfinished = " <unfinished ...>"

func checkTrace(t *testing.T, path string, always bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syncs, marks, created, unsynced := 0, 0, 0, 0
	begun := map[string]string{} // calls that have not returned, by thread
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		thread, _, _ := strings.Cut(line, " ")
		ended := line
		if call, ok := strings.CutSuffix(line, traceUnfinished); ok {
			begun[thread], ended = call, ""
		} else if m := traceResumed.FindStringSubmatch(line); m != nil {
			line, ended = "", begun[thread]+m[1]
		}
		// A file is there, and an append was acknowledged, when the call begins;
		// a sync counts when it has ended.
		switch {
		case traceMsync.MatchString(ended):
			syncs++
		case traceCreate.MatchString(line):
			unsynced++
			created++
		case traceDir.MatchString(ended):
			unsynced = 0
		}
		m := traceMark.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		i, _ := strconv.Atoi(m[1])
		if i > 0 { // the first one counts the opening too
			if always && syncs < 2 {
				t.Errorf("append %d was acknowledged after %d syncs, want two or more", i, syncs)
			}
			if always && unsynced > 0 {
				t.Errorf("append %d was acknowledged while %d new files had no synced name", i, unsynced)
			}
		}
		marks++
		syncs = 0
	}
	if marks != tracedAppends || created < 4 {
		t.Errorf("the trace shows %d acknowledgements and %d new files", marks, created)
	}
}

// childIdle opens a store and reports the memory that it holds.
func childIdle(dir string, _ bool) error {
	before := anonymousKB()
	began := time.Now()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	opened := time.Since(began)
	if err := appendOne(s, fp, s.stageEnd(fp), 0, make([]byte, 1000)); err != nil {
		return err
	}
	fmt.Printf("%d %d\n", anonymousKB()-before, opened.Milliseconds())
	return s.Close()
}

// anonymousKB is the process's anonymous memory, 0 where the system does not say.
func anonymousKB() (kb int) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			fmt.Sscan(rest, &kb)
		}
	}
	return kb
}

func TestIdleMemory(t *testing.T) {
	out, err := child("idle", t.TempDir(), false).Output()
	if err != nil {
		t.Fatal(err)
	}
	var kb, ms int
	if _, err := fmt.Sscan(string(out), &kb, &ms); err != nil {
		t.Fatal(err)
	}
	t.Logf("an idle store takes %d KB and opened in %d ms", kb, ms)
	if kb > 15<<10 {
		t.Errorf("an idle store takes %d KB of anonymous memory, want less than 15 MB", kb)
	}
}
