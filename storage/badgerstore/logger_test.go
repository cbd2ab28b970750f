package badgerstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/streamweir/streamweir/storage"
)

// TestDamagedBatchIsSaidOnce: a consumer that comes again and again to a damaged
// batch filled the log.
func TestDamagedBatchIsSaidOnce(t *testing.T) {
	o := smallFiles(t.TempDir())
	core, logs := observer.New(zap.InfoLevel)
	o.Logger = zap.New(core)
	s := mustOpen(t, o)
	marker := func(i int64) []byte { return fmt.Appendf(nil, "this is batch %d of several", i) }
	for i := range int64(5) {
		if err := appendOne(s, fp, i, 0, append(marker(i), make([]byte, 5000)...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	corruptFile(t, filepath.Join(o.Dir, logName), marker(1), 3)
	corruptFile(t, filepath.Join(o.Dir, logName), marker(3), 3)
	s = mustOpen(t, o)
	defer s.Close()
	read := func(base int64) {
		var ce *storage.CorruptError
		if _, err := s.Log().Read(fp, storage.Position{Base: base}, make([]byte, 5100)); !errors.As(err, &ce) {
			t.Fatalf("read at %d: %v", base, err)
		}
	}
	read(1)
	once := logs.Len()
	read(3)
	twice := logs.Len()
	if once == 0 || twice == once {
		t.Errorf("%d lines for the first damaged batch, %d for the second", once, twice-once)
	}
	for range 50 {
		read(1)
		read(3)
	}
	if logs.Len() != twice {
		t.Errorf("%d more lines: %s", logs.Len()-twice, logs.All()[twice].ContextMap()["message"])
	}
}

func TestHarmlessMessagesAreForgotten(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	l := &badgerLogger{log: zap.New(core), fail: func(err error) { t.Error(err) }}
	for i := range 3 * maxSaid {
		l.Errorf("Unable to read: Key: %d", i)
		l.Errorf("Unable to read: Key: %d", i)
	}
	if logs.Len() != 3*maxSaid || len(l.said) > maxSaid {
		t.Errorf("%d lines, %d remembered", logs.Len(), len(l.said))
	}
}
