package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// smallDisk mounts a tmpfs of the given size and unmounts it with the test.
func smallDisk(t testing.TB, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	mount := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", megabytes), "tmpfs", dir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("a small disk needs mount, as root: %v: %s", err, bytes.TrimSpace(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
	return dir
}

// ballast fills a disk from outside.
func ballast(t testing.TB, disk string, megabytes int) (remove func()) {
	t.Helper()
	f, err := os.CreateTemp(disk, "ballast")
	if err != nil {
		t.Fatal(err)
	}
	path := f.Name()
	_, err = f.Write(make([]byte, megabytes*megabyte))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("fill the disk: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// fillUp writes megabytes until the broker refuses one, and returns how many
// it has acknowledged.
func fillUp(t *testing.T, s *harness.Server, cl *kgo.Client, limit int) int {
	t.Helper()
	ctx := harness.Context(t, 2*harness.Long)
	for i := range limit {
		err := put(ctx, cl, harness.Incompressible(uint64(i), megabyte))
		if errors.Is(err, kerr.KafkaStorageError) {
			return i
		}
		if err != nil {
			t.Fatalf("record %d: %v, want KAFKA_STORAGE_ERROR once the disk is full", i, err)
		}
	}
	t.Fatalf("%d MB went onto a disk that is smaller", limit)
	return 0
}

// readBack checks that the acknowledged megabytes from first on are there.
func readBack(t testing.TB, s *harness.Server, topic string, first, n int) {
	t.Helper()
	cl := harness.Client(t, s, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(int64(first))}}))
	defer cl.Close()
	ctx := harness.Context(t, harness.Long)
	for next := first; next < n; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("record %d of %d: %v", next, n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(next) || next < n && !bytes.Equal(r.Value, harness.Incompressible(uint64(next), megabyte)) {
				t.Fatalf("record %d at offset %d is not the one that was acknowledged", next, r.Offset)
			}
			next++
		})
	}
}

const diskSize = 512 // megabytes

// A full disk refuses produce with KAFKA_STORAGE_ERROR, goes on reading, and
// takes records again by itself when there is space; nothing acknowledged is
// lost.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	harness.OnlyStreamweir(t, "its broker ends when the disk is full")
	disk := smallDisk(t, diskSize)
	remove := ballast(t, disk, diskSize/2)
	s := harness.Start(t, harness.DataDir(filepath.Join(disk, "data")))
	topic := harness.Topic(t, s, 1)
	cl := writer(t, s, topic)
	n := fillUp(t, s, cl, diskSize)
	if n < 20 {
		t.Errorf("only %d MB went onto %d MB", n, diskSize/2)
	}
	readBack(t, s, topic, 0, n)
	if status, body := s.Get(t, "/healthz"); status != 200 {
		t.Errorf("/healthz with a full disk: %d %s (it serves reads, so it is alive)", status, body)
	}
	// Still full: refused again and again, and the process lives.
	ctx := harness.Context(t, 2*harness.Long)
	for range 50 {
		if err := put(ctx, cl, harness.Incompressible(uint64(n), megabyte)); !errors.Is(err, kerr.KafkaStorageError) {
			t.Fatalf("with a full disk: %v, want KAFKA_STORAGE_ERROR", err)
		}
	}
	remove()
	harness.Eventually(t, harness.Long, "writes resume", func() error {
		return put(ctx, cl, harness.Incompressible(uint64(n), megabyte))
	})
	readBack(t, s, topic, 0, n+1)
	s.Restart(t)
	readBack(t, s, topic, 0, n+1)
}

// On a disk that its own data has filled, deleting makes space again.
func TestFullDiskIsEmptiedByDeletion(t *testing.T) {
	harness.OnlyStreamweir(t, "its broker ends when the disk is full")
	for _, how := range []string{"DeleteRecords", "DeleteTopics", "retention"} {
		t.Run(how, func(t *testing.T) {
			disk := smallDisk(t, diskSize)
			s := harness.Start(t, append(often(), harness.DataDir(filepath.Join(disk, "data")))...)
			topic := harness.Topic(t, s, 1, "segment.bytes=8388608")
			other := harness.Topic(t, s, 1)
			cl, spare := writer(t, s, topic), writer(t, s, other)
			n := fillUp(t, s, cl, 2*diskSize)
			ctx := harness.Context(t, 3*harness.Long)
			adm := harness.Admin(t, s)
			first := n * 3 / 4
			switch how {
			case "DeleteRecords":
				var offsets = map[string]map[int32]int64{topic: {0: int64(first)}}
				if err := deleteRecords(ctx, adm, offsets); err != nil {
					t.Fatal(err)
				}
			case "DeleteTopics":
				if _, err := adm.DeleteTopics(ctx, topic); err != nil {
					t.Fatal(err)
				}
			case "retention":
				alter(t, s, topic, "retention.bytes", fmt.Sprint(32*megabyte))
			}
			harness.Eventually(t, 2*harness.Long, "writes resume", func() error { return put(ctx, spare, harness.Incompressible(1, megabyte)) })
			if how == "DeleteRecords" {
				readBack(t, s, topic, first, n)
			}
			// And go on for more than what was free.
			for i := range 50 {
				harness.Eventually(t, harness.Long, "more writes", func() error { return put(ctx, spare, harness.Incompressible(uint64(i), megabyte)) })
			}
		})
	}
}

// A server that starts on a full disk serves reads, and writes once there is
// space.
func TestStartOnAFullDisk(t *testing.T) {
	harness.OnlyStreamweir(t, "its broker ends when the disk is full")
	disk := smallDisk(t, diskSize)
	s := harness.Start(t, harness.DataDir(filepath.Join(disk, "data")))
	topic := harness.Topic(t, s, 1)
	cl := writer(t, s, topic)
	n := fillUp(t, s, cl, 2*diskSize)
	s.Kill(t)
	s.StartAgain(t)
	readBack(t, s, topic, 0, n)
	again := writer(t, s, topic) // the other one's connection is dead
	if err := put(harness.Context(t, harness.Long), again, harness.Incompressible(0, megabyte)); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("write on a full disk: %v", err)
	}
}

func deleteRecords(ctx context.Context, adm *kadm.Client, before map[string]map[int32]int64) error {
	var offsets kadm.Offsets
	for topic, ps := range before {
		for p, at := range ps {
			offsets.AddOffset(topic, p, at, -1)
		}
	}
	rs, err := adm.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	return rs.Error()
}
