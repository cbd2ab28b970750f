package badgerstore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// replaceBatches is the length of the logs that childReplace compacts.
const replaceBatches = 400

// replacedData is what an edit puts in the place of the batch at base, in a round.
func replacedData(p storage.Partition, base int64, round int) []byte {
	return fmt.Appendf(nil, "%s round %d", crashData(p, base)[:200+37*(round%7)], round)
}

// childReplace appends and replaces for ever: in each round, a third of the
// batches is removed for good and another third gets other bytes. It says when a
// round is over.
func childReplace(dir string, always bool) error {
	o := smallFiles(dir)
	o.SyncAlways, o.SegmentBatches = always, 50
	s, err := Open(o)
	if err != nil {
		return err
	}
	p := crashPartition(0)
	for round := 0; ; round++ {
		_, end := s.Log().Bounds(p)
		for base := end; base < end+replaceBatches; base++ {
			if err := appendOne(s, p, base, 0, crashData(p, base)); err != nil {
				return err
			}
		}
		var edits []storage.Edit
		err := s.Log().Batches(p, 0, func(b storage.BatchInfo) bool {
			switch {
			case b.LastOffset+1 == end+replaceBatches:
			case b.BaseOffset%3 == 0:
				edits = append(edits, storage.Edit{Old: b})
			case b.BaseOffset%3 == 1:
				edits = append(edits, storage.Edit{Old: b, Data: replacedData(p, b.BaseOffset, round), MaxTimestamp: b.MaxTimestamp})
			}
			return true
		})
		if err != nil {
			return err
		}
		fmt.Println("replacing", end+replaceBatches, round)
		for len(edits) > 0 {
			n := min(16, len(edits))
			if err := s.Log().Replace(p, edits[:n]...); err != nil {
				return err
			}
			fmt.Println("replaced", edits[n-1].Old.BaseOffset, round)
			edits = edits[n:]
		}
	}
}

// TestKillWhileReplacing kills a process in the middle of edits, and looks whether
// each batch is as it was or as it should be, whether acknowledged edits are
// there, and whether the accounts agree.
func TestKillWhileReplacing(t *testing.T) {
	for _, always := range []bool{false, true} {
		t.Run(syncName(always), func(t *testing.T) {
			dir := t.TempDir()
			for kill := range 5 {
				cmd := child("replace", dir, always)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				var end, done int64
				lines, round := bufio.NewScanner(out), 0
				for n := 0; lines.Scan(); {
					var what string
					var at int64
					if k, err := fmt.Sscan(lines.Text(), &what, &at, &round); k != 3 || err != nil {
						continue // cut off by the kill
					}
					if what == "replacing" {
						end, done = at, -1
						continue
					}
					done = at
					if n++; n == 3+7*kill {
						if err := cmd.Process.Kill(); err != nil {
							t.Fatal(err)
						}
					}
				}
				_ = cmd.Wait() // it was killed
				checkReplaced(t, dir, end, done, round)
			}
		})
	}
}

func checkReplaced(t *testing.T, dir string, end, done int64, round int) {
	t.Helper()
	o := smallFiles(dir)
	o.SegmentBatches = 50
	s := mustOpen(t, o)
	defer s.Close()
	p := crashPartition(0)
	if _, got := s.Log().Bounds(p); got < end {
		t.Fatalf("the log ends at %d, want %d", got, end)
	}
	checkIndex(t, s, p)
	last := int64(-1)
	err := s.Log().Batches(p, 0, func(b storage.BatchInfo) bool {
		if b.BaseOffset <= last {
			t.Errorf("batch %d follows %d", b.BaseOffset, last)
		}
		for missing := last + 1; missing < b.BaseOffset; missing++ {
			if missing%3 != 0 {
				t.Errorf("batch %d is lost", missing)
			}
		}
		last = b.LastOffset
		dst := make([]byte, b.Size)
		n, err := s.Log().Read(p, storage.Position{Base: b.BaseOffset}, dst)
		if err != nil || n != len(dst) {
			t.Errorf("batch %d: %d bytes, %v", b.BaseOffset, n, err)
			return false
		}
		old := bytes.Equal(dst, crashData(p, b.BaseOffset))
		switch {
		case b.BaseOffset > done || b.BaseOffset == end-1:
		case b.BaseOffset%3 == 0:
			t.Errorf("batch %d was removed and is there", b.BaseOffset)
		case b.BaseOffset%3 == 1 && !bytes.Equal(dst, replacedData(p, b.BaseOffset, round)):
			t.Errorf("batch %d was replaced in round %d and reads %q", b.BaseOffset, round, dst[len(dst)-12:])
		case b.BaseOffset%3 == 2 && !old:
			t.Errorf("batch %d was left alone and is another", b.BaseOffset)
		}
		return !t.Failed()
	})
	if err != nil {
		t.Error(err)
	}
}

// TestReplacedSpaceIsReturned replaces much more than stays, and sees that disk
// use follows and that nothing removed comes back.
func TestReplacedSpaceIsReturned(t *testing.T) {
	dir := t.TempDir()
	o := smallFiles(dir)
	s := mustOpen(t, o)
	p := fp
	const size, live = 100 << 10, 20
	var next int64
	removed := 0
	for range 12 {
		for range 100 {
			if err := appendOne(s, p, next, 0, crashPad(next, size)); err != nil {
				t.Fatal(err)
			}
			next++
		}
		var edits []storage.Edit
		if err := s.Log().Batches(p, 0, func(b storage.BatchInfo) bool {
			if b.BaseOffset < next-live {
				edits = append(edits, storage.Edit{Old: b})
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Log().Replace(p, edits...); err != nil {
			t.Fatal(err)
		}
		if removed += len(edits); removed == len(edits) && stubs(s, p) != removed {
			t.Errorf("%d batches were removed and there are %d stubs", removed, stubs(s, p))
		}
	}
	eventually(t, "disk use returns", time.Minute, func() bool {
		return usedBytes(filepath.Join(dir, logName)) < live*size+8*o.ValueLogFileBytes
	})
	check := func() {
		t.Helper()
		n := 0
		if err := s.Log().Batches(p, 0, func(b storage.BatchInfo) bool {
			n++
			if b.BaseOffset < next-live {
				t.Errorf("batch %d came back", b.BaseOffset)
			}
			return true
		}); err != nil || n != live {
			t.Errorf("%d batches are left, %v", n, err)
		}
		checkIndex(t, s, p)
	}
	check()
	if got, want := s.Stats().LiveBytes, int64(live*size); got != want {
		t.Errorf("%d bytes are live, want %d", got, want)
	}
	// What stands for removed batches goes too, once nothing of them is left.
	eventually(t, "stubs go", time.Minute, func() bool {
		s.collector.nudge()
		s.reaper.sweepSoon()
		return stubs(s, p) < 300
	})
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer s.Close()
	check()
	if got, want := s.Stats().LiveBytes, int64(live*size); got != want {
		t.Errorf("%d bytes are live after a restart, want %d", got, want)
	}
}

func crashPad(base int64, size int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d ", base), size)[:size]
}

// TestReplaceOnAFullDisk: compaction goes on where appends are refused, and stops
// before it takes what the collector needs.
func TestReplaceOnAFullDisk(t *testing.T) {
	s := mustOpen(t, smallFiles(t.TempDir()))
	defer s.Close()
	for base := range int64(10) {
		if err := appendOne(s, fp, base, 0, crashPad(base, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	reserve := s.opts.ReserveBytes
	free := new(atomic.Int64)
	s.space = func() (int64, int64, error) { return 100 * reserve, free.Load(), nil }
	info := func(base int64) storage.BatchInfo {
		return storage.BatchInfo{BaseOffset: base, LastOffset: base, MaxTimestamp: base, Size: 1000}
	}
	edit := func(base int64) error {
		return s.Log().Replace(fp, storage.Edit{Old: info(base), Data: crashPad(base, 500)})
	}
	free.Store(reserve - 1)
	if err := appendOne(s, fp, 10, 0, crashPad(10, 1000)); err == nil {
		t.Fatal("an append was taken on a full disk")
	}
	if err := edit(1); err != nil {
		t.Fatalf("compaction on a full disk: %v", err)
	}
	free.Store(reserve/2 - 1)
	if err := edit(2); !errors.Is(err, storage.ErrNoSpace) {
		t.Fatalf("compaction below half of the reserve: %v", err)
	}
	free.Store(10 * reserve)
	if err := edit(2); err != nil {
		t.Fatal(err)
	}
	checkIndex(t, s, fp)
}

func stubs(s *Store, p storage.Partition) (n int) {
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: appendPartitionKey(nil, prefixBatch, p)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if isStub(it.Item()) {
			n++
		}
	}
	return n
}
