package badgerstore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A value log file begins with the id of its key, zero for no encryption, and a
// random part for the encryption that is not used.
const (
	valueLogHeaderLen  = 8 + 12
	valueLogKeyIDLen   = 8
	valueLogExt        = ".vlog"
	valueLogNameDigits = 6
	memtableExt        = ".mem"
)

// prepareValueLog keeps Badger from cutting the newest value log file at the
// first entry that it cannot read: it does so at every start, and one bad
// sector would take all batches behind it along. Badger looks at the last file
// only, so the newest one is cut where its data ends, and an empty one is put
// behind it. That also saves reading the whole file at the start.
//
// Every start makes a file so, and one that is killed leaves it behind: those
// without entries are removed. Their numbers are not used again, since what was
// lost of a file in a power cut may still be pointed at.
func prepareValueLog(dir string, fileBytes int64) error {
	if err := removeEmptyFiles(dir); err != nil {
		return err
	}
	newest, err := newestValueLog(dir)
	if err != nil || newest == 0 {
		return err
	}
	if cut, err := cutAtEnd(valueLogPath(dir, newest), fileBytes); err != nil || !cut {
		return err
	}
	// The empty one comes first: the highest number is never given up.
	if err := putEmptyValueLog(dir, newest+1); err != nil {
		return err
	}
	return removeBareValueLogs(dir, newest)
}

// cutAtEnd cuts a value log file where its data ends, and reports false where that
// cannot be told: Badger finds out then.
func cutAtEnd(path string, fileBytes int64) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	if fi.Size() <= valueLogHeaderLen {
		return true, nil
	}
	end, err := dataEnd(f, fi.Size())
	if err != nil {
		return false, fmt.Errorf("find the end of %s: %w", path, err)
	}
	if end < valueLogHeaderLen || end >= 2*fileBytes {
		return false, nil
	}
	if end < fi.Size() {
		if err := errors.Join(f.Truncate(end), f.Sync()); err != nil {
			return false, fmt.Errorf("cut %s at its end: %w", path, err)
		}
	}
	return true, nil
}

// maxBareBytes is the largest file that is looked into for entries: without any, it
// takes the page of its header.
const maxBareBytes = 64 << 10

// removeBareValueLogs removes the files up to a number that have a header and no
// entries.
func removeBareValueLogs(dir string, last uint32) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+valueLogExt))
	if err != nil {
		return err
	}
	for _, path := range paths {
		id, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), valueLogExt), 10, 32)
		if err != nil || uint32(id) > last {
			continue
		}
		bare, err := isBare(path)
		if err == nil && bare {
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("remove a value log file without entries: %w", err)
		}
	}
	return nil
}

// isBare says whether a value log file has no entries: what was preallocated is all
// zeros, and no entry is, since it has the length of its key.
func isBare(path string) (bool, error) {
	fi, err := os.Stat(path)
	if err != nil || fi.Size() > maxBareBytes {
		return false, err
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) < valueLogHeaderLen {
		return false, err
	}
	return len(bytes.TrimLeft(data[valueLogHeaderLen:], "\x00")) == 0, nil
}

// removeEmptyFiles removes what a killed process was about to create or to
// remove: Badger empties a file before it removes it, makes it before it gives
// it a length, and does not open a database with an empty file in it.
func removeEmptyFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if ext != valueLogExt && ext != memtableExt {
			continue
		}
		fi, err := e.Info()
		if err == nil && fi.Size() == 0 {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putEmptyValueLog makes a file that has a header and no entries.
func putEmptyValueLog(dir string, id uint32) error {
	var header [valueLogHeaderLen]byte
	if _, err := rand.Read(header[valueLogKeyIDLen:]); err != nil {
		return err
	}
	path := valueLogPath(dir, id)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(header[:])
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// dataEnd is the end of the last part of a sparse file that is not a hole.
func dataEnd(f *os.File, size int64) (end int64, err error) {
	for {
		data, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return 0, err
		}
		if end = hole; end >= size {
			return size, nil
		}
	}
}

func valueLogPath(dir string, id uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", valueLogNameDigits, id, valueLogExt))
}

// newestValueLog is the number of the file that is being written; 0 for none.
func newestValueLog(dir string) (newest uint32, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil
		}
		return 0, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), valueLogExt)
		if !ok {
			continue
		}
		if id, err := strconv.ParseUint(name, 10, 32); err == nil {
			newest = max(newest, uint32(id))
		}
	}
	return newest, nil
}
