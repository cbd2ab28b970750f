package badgerstore

import (
	"errors"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

// A report of an append that saved states waited for room that only later
// reports make, and with it the whole store.
func TestReportsMaySaveStatesWithoutRoom(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), StateBytes: 1000})
	defer s.Close()
	p := storage.Partition{Topic: storage.TopicID{1}}
	state := storage.State{Offset: 1, Data: make([]byte, 600)}
	saved := make(chan error, 3)
	a := &storage.Append{
		Partition: p, Info: storage.BatchInfo{LastOffset: 0, Size: 100}, Data: make([]byte, 100),
		Done: func(_ *storage.Append, err error) {
			saved <- err
			saved <- s.Log().TrySaveState(p, "a", state)
			saved <- s.Log().TrySaveState(p, "b", state)
		},
	}
	s.Log().Append(a)
	if err := errors.Join(<-saved, <-saved); err != nil {
		t.Fatal(err)
	}
	if err := <-saved; !errors.Is(err, storage.ErrBusy) {
		t.Errorf("over the limit: %v", err)
	}
	if _, ok, err := s.Log().LoadState(p, "b"); ok || err != nil {
		t.Errorf("the refused state is there: %v, %v", ok, err)
	}
	// Who may wait gets room.
	for i, name := range []string{"a", "b", "c"} {
		if err := s.Log().SaveState(p, name, state); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if st, ok, err := s.Log().LoadState(p, "c"); !ok || err != nil || len(st.Data) != 600 {
		t.Errorf("%v, %v, %v", st, ok, err)
	}
}
