package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/storage"
)

// formatVersion is the version of what is on disk. It rises when an older
// release could not read, or would damage, what a newer one has written.
const formatVersion = 1

const (
	versionName = "VERSION"
	lockName    = "LOCK"
	newName     = "NEW" // there until the first start has made both databases
	logName     = "log"
	metaName    = "meta"
)

// directory is a data directory that this process holds.
type directory struct {
	path string
	lock *os.File
	dir  *os.File // kept open, for statfs
	made bool     // both databases are there, or should be
}

// openDirectory takes hold of a data directory, and makes it where it is missing.
func openDirectory(path string) (_ *directory, err error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	d := &directory{path: path}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.dir, err = os.Open(path); err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	fresh, err := d.checkContents()
	if err != nil {
		return nil, err
	}
	if err := d.hold(); err != nil {
		return nil, err
	}
	if fresh {
		if err := os.WriteFile(filepath.Join(path, newName), nil, 0o640); err != nil {
			return nil, fmt.Errorf("begin the data directory: %w", err)
		}
		return d, d.writeVersion()
	}
	if err := d.checkVersion(); err != nil {
		return nil, err
	}
	_, err = os.Stat(filepath.Join(path, newName))
	if d.made = errors.Is(err, fs.ErrNotExist); d.made {
		err = nil
	}
	return d, err
}

// hold locks the directory against other processes: a file in it, and the directory
// itself, in case somebody takes the file for a leftover and removes it.
func (d *directory) hold() (err error) {
	if d.lock, err = os.OpenFile(filepath.Join(d.path, lockName), os.O_CREATE|os.O_RDWR, 0o640); err != nil {
		return fmt.Errorf("open the lock of the data directory: %w", err)
	}
	err = unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	// Some network file systems lock no directories.
	if e := unix.Flock(int(d.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(e, unix.EWOULDBLOCK) {
		err = e
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("data directory %s: %w: stop that process, or give this one another directory", d.path, storage.ErrLocked)
	}
	if err != nil {
		return fmt.Errorf("lock the data directory %s: %w", d.path, err)
	}
	return nil
}

// begun says that both databases are there: from now on they may not be missing.
func (d *directory) begun() error {
	if d.made {
		return nil
	}
	err := d.dir.Sync()
	if err == nil {
		err = os.Remove(filepath.Join(d.path, newName))
	}
	if err != nil {
		return fmt.Errorf("begin the data directory: %w", err)
	}
	d.made = true
	return nil
}

// checkContents refuses to move into a directory that holds something else.
func (d *directory) checkContents() (fresh bool, err error) {
	names, err := d.dir.Readdirnames(-1)
	if err != nil {
		return false, fmt.Errorf("list the data directory %s: %w", d.path, err)
	}
	var strangers []string
	for _, name := range names {
		switch name {
		case versionName:
			return false, nil
		case lockName, newName, versionName + ".tmp", "lost+found":
		default:
			strangers = append(strangers, name)
		}
	}
	if len(strangers) > 0 {
		if slices.Contains(strangers, logName) && slices.Contains(strangers, metaName) {
			return false, fmt.Errorf("the data directory %s has lost its %s file: if it is whole otherwise, put that back with the line %d in it",
				d.path, versionName, formatVersion)
		}
		return false, fmt.Errorf("%s is not a data directory: it has no %s file but holds %q: name an empty or a new directory", d.path, versionName, strangers[0])
	}
	return true, nil
}

func (d *directory) checkVersion() error {
	text, err := os.ReadFile(filepath.Join(d.path, versionName))
	if err != nil {
		return fmt.Errorf("read the version of the data directory: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || v < 1 {
		return fmt.Errorf("data directory %s: its %s file holds %.40q, not a version number", d.path, versionName, text)
	}
	if v > formatVersion {
		return fmt.Errorf("data directory %s has format version %d and this release knows up to %d: %w: "+
			"start the release that wrote it or a later one, or name another directory", d.path, v, formatVersion, storage.ErrVersion)
	}
	return nil
}

// writeVersion puts the file there whole or not at all.
func (d *directory) writeVersion() error {
	name := filepath.Join(d.path, versionName)
	f, err := os.OpenFile(name+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("write the version of the data directory: %w", err)
	}
	_, err = fmt.Fprintf(f, "%d\n", formatVersion)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name+".tmp", name)
	}
	if err == nil {
		err = d.dir.Sync()
	}
	if err != nil {
		return fmt.Errorf("write the version of the data directory: %w", err)
	}
	return nil
}

func (d *directory) close() {
	// Closing the file gives up the lock.
	if d.lock != nil {
		d.lock.Close()
	}
	if d.dir != nil {
		d.dir.Close()
	}
}

// space returns the size of the file system and what is free for us on it.
func (d *directory) space() (total, free int64, err error) {
	var st unix.Statfs_t
	for {
		err = unix.Fstatfs(int(d.dir.Fd()), &st)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask for free space of %s: %w", d.path, err)
	}
	size := int64(st.Bsize)
	return int64(st.Blocks) * size, int64(st.Bavail) * size, nil
}

// usedBytes sums up what the files in a directory take on disk. Badger's files
// are sparse, so their lengths say nothing.
func usedBytes(dir string) int64 { return usedBytesOf(dir, "") }

// usedBytesOf counts the files whose names end so.
func usedBytesOf(dir, suffix string) (total int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		var st unix.Stat_t
		if strings.HasSuffix(e.Name(), suffix) && unix.Stat(filepath.Join(dir, e.Name()), &st) == nil {
			total += st.Blocks * 512
		}
	}
	return total
}
