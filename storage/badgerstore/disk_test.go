package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/storage"
)

// mountTmpfs mounts a small file system, or skips the test.
func mountTmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small file system: %v (this test must run as root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// TestFullDisk fills a real, small disk with the default options. Badger would
// end the process with SIGBUS.
func TestFullDisk(t *testing.T) {
	disk := mountTmpfs(t, "200m")
	s := mustOpen(t, Options{Dir: filepath.Join(disk, "data")})
	defer s.Close()
	ps := []storage.Partition{{Index: 0}, {Index: 1}}
	ends := make([]int64, len(ps))
	term := uint64(0)
	data := make([]byte, 200<<10)
	fill := func() error {
		for {
			for i, p := range ps {
				if err := appendOne(s, p, ends[i], term, data); err != nil {
					term++
					return err
				}
				ends[i]++
			}
		}
	}
	for round := range 4 {
		if err := fill(); !errors.Is(err, storage.ErrNoSpace) {
			t.Fatalf("round %d: append to a full disk: %v", round, err)
		}
		if err := s.Health(); !errors.Is(err, storage.ErrNoSpace) {
			t.Errorf("round %d: health on a full disk: %v", round, err)
		}
		if ends[0] < 50 && round == 0 {
			t.Errorf("only %d batches of %d bytes fit on a disk of 200 MB", ends[0]+ends[1], len(data))
		}
		u := s.Usage()
		t.Logf("round %d: full at %d batches, usage %+v", round, ends[0]+ends[1], u)
		if u.Free < u.Reserve/2 {
			t.Errorf("round %d: %d free of a reserve of %d", round, u.Free, u.Reserve)
		}
		if err := s.Meta().Apply(storage.Op{Key: fmt.Sprint("round", round), Value: []byte("x")}); err != nil {
			t.Errorf("round %d: metadata on a full disk: %v", round, err)
		}
		for i, p := range ps {
			if n, err := s.Log().Read(p, storage.Position{Base: ends[i] - 1}, data); n != len(data) || err != nil {
				t.Errorf("round %d: read on a full disk: %d, %v", round, n, err)
			}
		}
		// The oldest half goes, and the store recovers by itself.
		for i, p := range ps {
			start, _ := s.Log().Bounds(p)
			if err := s.Log().Trim(p, (start+ends[i])/2); err != nil {
				t.Fatalf("round %d: trim on a full disk: %v", round, err)
			}
		}
		eventually(t, "recovery of a full disk", 60*time.Second, func() bool { return s.Health() == nil })
	}
	diskTakenByAnother(t, s, disk, ps[0], ends[0], term, data)
}

// diskTakenByAnother has another program take the rest of the disk, to the last
// byte: the store must not touch it then, and recover when that is over.
func diskTakenByAnother(t *testing.T, s *Store, disk string, p storage.Partition, end int64, term uint64, data []byte) {
	t.Helper()
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	for err = nil; err == nil; {
		_, err = ballast.Write(data)
	}
	if err := appendOne(s, p, end, term, data); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("append to a disk with nothing left: %v", err)
	}
	term++
	if err := s.Meta().Apply(storage.Op{Key: "a", Value: []byte("x")}); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("metadata on a disk with nothing left: %v", err)
	}
	if n, err := s.Log().Read(p, storage.Position{Base: end - 1}, data); n != len(data) || err != nil {
		t.Errorf("read on a disk with nothing left: %d, %v", n, err)
	}
	if err := ballast.Truncate(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recovery after another program's files went", 20*time.Second, func() bool { return s.Health() == nil })
	if err := appendOne(s, p, end, term, data); err != nil {
		t.Errorf("append after recovery: %v", err)
	}
}

// childBroken appends with SyncAlways until an append fails, and says what was
// acknowledged and how it ended.
func childBroken(dir string, _ bool) error {
	s, err := Open(Options{Dir: dir, SyncAlways: true, ReserveBytes: 1 << 20, ValueLogFileBytes: 64 << 20})
	if err != nil {
		return err
	}
	data := make([]byte, 256<<10)
	for i := range data {
		data[i] = byte(i * 31) // no zeros: the device below must store it
	}
	for base := int64(0); base < 1000; base++ {
		if err := appendOne(s, fp, base, 0, data); err != nil {
			fmt.Println("failed", errors.Is(err, storage.ErrFailed), errors.Is(s.Health(), storage.ErrFailed), err)
			err := appendOne(s, fp, base, 1, data)
			fmt.Println("then", errors.Is(err, storage.ErrFailed))
			os.Exit(0) // the file system below is broken: do not close
		}
		fmt.Println("acked", base)
	}
	return errors.New("no append failed")
}

// TestFailingDisk runs a store on a disk whose writes fail from some point on:
// a file system on a loop device on a sparse file on another, smaller file
// system. The writes land in the page cache as ever; only the sync sees it.
func TestFailingDisk(t *testing.T) {
	for _, tool := range []string{"losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	image := filepath.Join(mountTmpfs(t, "48m"), "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(512<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", device, err, out)
		}
	})
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,nodiscard", "-O", "^has_journal", device).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	dir := t.TempDir()
	if err := unix.Mount(device, dir, "ext4", 0, "errors=continue"); err != nil {
		t.Skipf("mount %s: %v", device, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	report, err := child("broken", filepath.Join(dir, "data"), true).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, report)
	}
	lines := strings.Split(strings.TrimSpace(string(report)), "\n")
	last := lines[max(0, len(lines)-2):]
	t.Log(len(lines)-2, "acknowledged, then", last)
	if len(last) != 2 || !strings.HasPrefix(last[0], "failed true true") || last[1] != "then true" {
		t.Errorf("the store on a failing disk ended with %q", last)
	}
	// No more than the disk could take was acknowledged.
	if acked := (len(lines) - 2) * 256 << 10; acked > 48<<20 {
		t.Errorf("%d bytes were acknowledged on a disk that holds %d", acked, 48<<20)
	}
}
