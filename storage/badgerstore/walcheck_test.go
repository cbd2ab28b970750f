package badgerstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

// splitWAL makes of the one write-ahead log of a killed store two, as they are
// where the memtable had been full in the middle.
func splitWAL(t *testing.T, dir string) (older string) {
	t.Helper()
	older = filepath.Join(dir, "00001"+memtableExt)
	content, err := os.ReadFile(older)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	end, whole, err := readWAL(bytes.NewReader(content), int64(len(content)), func(end int64) { ends = append(ends, end) })
	if err != nil || !whole || len(ends) < 4 {
		t.Fatalf("%s: %d transactions up to %d, whole: %v, %v", older, len(ends), end, whole, err)
	}
	cut := ends[len(ends)/2]
	newer := append(bytes.Clone(content[:valueLogHeaderLen]), content[cut:]...)
	clear(content[cut:])
	for name, b := range map[string][]byte{older: content, filepath.Join(dir, "00002"+memtableExt): newer} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return older
}

// TestDamagedOlderWriteAheadLogIsNotSilent: the watermark sees only damage in
// the newest, since what it lost is older than what was acknowledged last.
func TestDamagedOlderWriteAheadLogIsNotSilent(t *testing.T) {
	for _, db := range []string{logName, metaName} {
		for _, always := range []bool{false, true} {
			t.Run(db+"/"+syncName(always), func(t *testing.T) {
				dir := t.TempDir()
				killed(t, "acked", dir, always)
				o := Options{Dir: dir, SyncAlways: always}
				older := splitWAL(t, filepath.Join(dir, db))
				content, err := os.ReadFile(older)
				if err != nil {
					t.Fatal(err)
				}
				content[valueLogHeaderLen+40] ^= 1
				if err := os.WriteFile(older, content, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := wantRefused(t, o, older+" is damaged"); !errors.Is(err, storage.ErrLost) {
					t.Errorf("%v is not ErrLost", err)
				}
				if err := os.Remove(filepath.Join(dir, db+ackedExt)); err != nil {
					t.Fatal(err)
				}
				mustOpen(t, o).Close()
				mustOpen(t, o).Close()
			})
		}
	}
}

// TestOlderWriteAheadLogsGiveNoFalseAlarm: whole ones are taken, at the first
// start and at those after it, which find them as Badger has cut them.
func TestOlderWriteAheadLogsGiveNoFalseAlarm(t *testing.T) {
	for _, always := range []bool{false, true} {
		dir := t.TempDir()
		killed(t, "acked", dir, always)
		for _, db := range []string{logName, metaName} {
			splitWAL(t, filepath.Join(dir, db))
		}
		for range 3 {
			s := mustOpen(t, Options{Dir: dir, SyncAlways: always})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOlderWriteAheadLogAfterAPowerCut: with storage.sync=os a power cut may
// leave holes anywhere; that is said, and is no reason to refuse the start.
func TestOlderWriteAheadLogAfterAPowerCut(t *testing.T) {
	dir := t.TempDir()
	killed(t, "acked", dir, false)
	older := splitWAL(t, filepath.Join(dir, logName))
	content, err := os.ReadFile(older)
	if err != nil {
		t.Fatal(err)
	}
	clear(content[valueLogHeaderLen : valueLogHeaderLen+64])
	if err := os.WriteFile(older, content, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, Options{Dir: dir}, older+" is damaged")
	rewriteAcked(t, dir, func(r *ackedRecord) { r.synced, r.boot[0] = false, r.boot[0]^1 })
	mustOpen(t, Options{Dir: dir}).Close()
}

func TestWALDamage(t *testing.T) {
	dir := t.TempDir()
	killed(t, "acked", dir, true)
	content, err := os.ReadFile(filepath.Join(dir, logName, "00001"+memtableExt))
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	end, _, _ := readWAL(bytes.NewReader(content), int64(len(content)), func(end int64) { ends = append(ends, end) })
	for name, tc := range map[string]struct {
		change func(b []byte) []byte
		whole  bool
	}{
		"as it is":                    {func(b []byte) []byte { return b }, true},
		"cut behind the last":         {func(b []byte) []byte { return b[:end] }, true},
		"empty":                       {func(b []byte) []byte { return nil }, true},
		"only a header":               {func(b []byte) []byte { return b[:valueLogHeaderLen] }, true},
		"cut in the header":           {func(b []byte) []byte { return b[:valueLogHeaderLen-1] }, false},
		"cut in the last transaction": {func(b []byte) []byte { return b[:end-1] }, false},
		"cut before the end marker":   {func(b []byte) []byte { return b[:ends[len(ends)-2]+70] }, false},
		"a zeroed beginning":          {func(b []byte) []byte { clear(b[valueLogHeaderLen : valueLogHeaderLen+512]); return b }, false},
		"a length without end":        {func(b []byte) []byte { copy(b[ends[1]+2:], bytes.Repeat([]byte{0xff}, 12)); return b }, false},
		"something behind the zeros":  {func(b []byte) []byte { b[len(b)-1] = 1; return b }, false},
	} {
		b := tc.change(bytes.Clone(content))
		_, whole, err := readWAL(bytes.NewReader(b), int64(len(b)), nil)
		if err != nil || whole != tc.whole {
			t.Errorf("%s: whole is %v, want %v (%v)", name, whole, tc.whole, err)
		}
	}
	// Every byte of the first transactions, and some of the others: with a few of
	// the zeros behind them, since each is read to its end.
	content = content[:end+4096]
	step := max(1, (end-ends[1])/200)
	for at := int64(valueLogHeaderLen); at < end; at++ {
		if at > ends[1] {
			at = min(at+step, end-1)
		}
		content[at] ^= 0x10
		if _, whole, err := readWAL(bytes.NewReader(content), int64(len(content)), nil); whole || err != nil {
			t.Fatalf("a changed byte at %d of %d is not noticed (%v)", at, end, err)
		}
		content[at] ^= 0x10
	}
}

func FuzzReadWAL(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(make([]byte, valueLogHeaderLen), 0x40, 0, 1, 1, 0, 'k', 'v', 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		end, _, err := readWAL(bytes.NewReader(b), int64(len(b)), nil)
		if err != nil || end > int64(len(b)) {
			t.Errorf("end %d of %d, %v", end, len(b), err)
		}
	})
}

// TestStrayAndDamagedFiles: the start stopped with Badger's own words, which do
// not say what to do.
func TestStrayAndDamagedFiles(t *testing.T) {
	for _, db := range []string{logName, metaName} {
		for name, want := range map[string]string{
			"copy.vlog": "copy.vlog is no file of this database: move it out", "7.vlog": "7.vlog is no file",
			"0000007.vlog": "0000007.vlog is no file", "4294967295.vlog": "4294967295.vlog is no file",
			"old.mem": "old.mem is no file", "1.mem": "1.mem is no file",
		} {
			dir := t.TempDir()
			mustOpen(t, Options{Dir: dir}).Close()
			path := filepath.Join(dir, db, name)
			if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(Options{Dir: dir}); err == nil {
				s.Close()
				t.Errorf("%s/%s: the store was opened", db, name)
			} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "open the "+db+" database") {
				t.Errorf("%s/%s: %v", db, name, err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			mustOpen(t, Options{Dir: dir}).Close()
		}
		for _, ext := range []string{valueLogExt, memtableExt} {
			dir := t.TempDir()
			killed(t, "acked", dir, false)
			files, err := filepath.Glob(filepath.Join(dir, db, "*"+ext))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			patch(t, files[0], []byte{0, 0, 0, 0, 0, 0, 0, 9})
			wantRefused(t, Options{Dir: dir}, "the header of "+files[0]+" is damaged: its first 8 bytes are 0000000000000009")
			patch(t, files[0], make([]byte, valueLogKeyIDLen))
			mustOpen(t, Options{Dir: dir}).Close()
		}
	}
}

// patch writes b over the beginning of a file.
func patch(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

// TestCloseEndsWithoutItsDirectory: Badger tries to write its last table for
// ever, and with it the server went on until a second signal.
func TestCloseEndsWithoutItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, Options{Dir: dir})
	s.closeGrace = 50_000_000 // 50 ms
	if err := appendOne(s, fp, 0, 0, make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	err := s.Close()
	if !errors.Is(err, storage.ErrFailed) || !strings.Contains(err.Error(), "gave up") {
		t.Errorf("close: %v", err)
	}
	// What it has left running ends when it can.
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	<-s.finished
	if got := mustOpen(t, Options{Dir: dir}); got.Log() != nil {
		got.Close()
	}
}
