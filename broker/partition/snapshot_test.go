package partition

import (
	"testing"

	"github.com/streamweir/streamweir/storage"
)

// crowded is a log with no room for states on their way to disk.
type crowded struct {
	storage.Log
	t       *testing.T
	room    bool
	refused int
}

func (l *crowded) SaveState(p storage.Partition, name string, s storage.State) error {
	if !l.room {
		l.t.Errorf("%s would wait for ever: only reports of appends make room", name)
		return storage.ErrBusy
	}
	return l.Log.SaveState(p, name, s)
}

func (l *crowded) TrySaveState(p storage.Partition, name string, s storage.State) error {
	if !l.room {
		l.refused++
		return storage.ErrBusy
	}
	return l.Log.TrySaveState(p, name, s)
}

// A report of an append waited for room among the states on their way to disk,
// with the partition's lock, and so for reports of the store that came only after it.
func TestReportsDoNotWaitForRoomForSnapshots(t *testing.T) {
	b := newBench(t)
	log := &crowded{Log: b.m.log, t: t}
	b.m.log = log
	seq := int32(0)
	appendOne := func() {
		b.must(batchOf{producer: from(1, 0, seq), values: []string{"a"}})
		seq++
	}
	for log.refused == 0 && seq < 3*snapshotBatches {
		appendOne()
	}
	if log.refused != 1 {
		t.Fatalf("no snapshot was refused after %d batches", seq)
	}
	taken := int64(seq)
	appendOne()
	if log.refused != 2 {
		t.Error("the next batch did not try again")
	}
	log.room = true
	appendOne()
	if s, ok, err := log.LoadState(b.p.id, stateProducers); !ok || err != nil || s.Offset != taken {
		t.Errorf("with room again: %v, %v, up to %d, want %d", ok, err, s.Offset, taken)
	}
	b.crash()
	if base := b.must(batchOf{producer: from(1, 0, seq-1), values: []string{"a"}}); base != int64(seq)-1 {
		t.Errorf("a repeated batch got offset %d", base)
	}
}

// What is saved before a trim and at the end waits for its turn instead.
func TestSnapshotsOutOfTurnWait(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{producer: from(1, 0, 0), values: []string{"a"}})
	log := &crowded{Log: b.m.log, t: t, room: true}
	b.m.log = log
	b.p.saveProducers()
	if s, ok, err := log.LoadState(b.p.id, stateProducers); !ok || err != nil || s.Offset != 1 || log.refused != 0 {
		t.Errorf("%v, %v, up to %d", ok, err, s.Offset)
	}
}
