package badgerstore

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/storage"
)

// Names of Badger's files are numbers with at least so many digits.
const memtableNameDigits = 5

// checkNames looks for files that Badger would stumble over: any that end as
// its own do must be numbered as its own are, and begin as its own do.
func checkNames(dir, name string) error {
	for _, kind := range []struct {
		ext    string
		digits int
	}{{valueLogExt, valueLogNameDigits}, {memtableExt, memtableNameDigits}} {
		paths, err := filepath.Glob(filepath.Join(dir, "*"+kind.ext))
		if err != nil {
			return err
		}
		for _, path := range paths {
			text := strings.TrimSuffix(filepath.Base(path), kind.ext)
			id, err := strconv.ParseUint(text, 10, 32)
			if err != nil || id == math.MaxUint32 || text != fmt.Sprintf("%0*d", kind.digits, id) {
				return fmt.Errorf("open the %s database: %s is no file of this database: move it out of the directory and start again", name, path)
			}
			if err := checkKeyID(path); err != nil {
				return fmt.Errorf("open the %s database: %w", name, err)
			}
		}
	}
	return nil
}

// checkKeyID looks at the number of the encryption key at the beginning of a
// file. There is no encryption, so it is zero.
func checkKeyID(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [valueLogKeyIDLen]byte
	switch _, err := io.ReadFull(f, head[:]); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil // nothing in it yet
	case err != nil:
		return fmt.Errorf("it is corrupt on disk (%w): check the disk and restore the directory from a copy", err)
	}
	if head != [valueLogKeyIDLen]byte{} {
		return fmt.Errorf("it is corrupt on disk (the header of %s is damaged: its first %d bytes are %x): "+
			"check the disk and restore the directory from a copy; if there is none and the file is of this directory, "+
			"set these bytes to zero: the rest is checked as it is read", path, valueLogKeyIDLen, head)
	}
	return nil
}

// checkOlderMemtables looks for damage in the write-ahead logs of memtables that
// were full when the process ended. Badger replays each up to the first entry
// that it cannot read, and drops what follows; the watermark (see acked.go)
// notices that for the newest only, since the others hold lower versions. A
// full one was written to its end: behind its last transaction there may only
// be the zeros that the file was made with. Not seen is one that was cut, or
// overwritten with zeros, exactly behind a transaction.
func (s *Store) checkOlderMemtables(dir, name string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+memtableExt))
	if err != nil {
		return err
	}
	slices.SortFunc(paths, func(a, b string) int { // more digits, a higher number
		return cmp.Or(len(a)-len(b), strings.Compare(a, b))
	})
	for _, path := range paths[:max(len(paths)-1, 0)] {
		why, err := damageInWAL(path)
		if err != nil {
			return damaged(name, err.Error())
		}
		if why == "" {
			continue
		}
		ackedPath := filepath.Join(s.dir.path, name+ackedExt)
		if !s.vouchedFor(ackedPath) {
			s.log.Warn("acknowledged data may be lost: a write-ahead log is not whole, and it is not known to have been written to the disk (storage.sync=os)",
				zap.String("database", name), zap.String("file", path), zap.String("found", why))
			continue
		}
		return fmt.Errorf("open the %s database: %w: the write-ahead log %s is damaged (%s): "+
			"check the disk and restore the directory from a copy; to go on without what it holds behind the damage, remove %s",
			name, storage.ErrLost, path, why, ackedPath)
	}
	return nil
}

// vouchedFor says whether what was acknowledged must be on the disk: it was
// synced, or the system has not been started anew since.
func (s *Store) vouchedFor(ackedPath string) bool {
	content, err := os.ReadFile(ackedPath)
	if err != nil {
		return false
	}
	rec, err := decodeAcked(content)
	return err == nil && (rec.synced || rec.boot == s.boot && rec.boot != bootID{})
}

// damageInWAL reads the write-ahead log of a full memtable, and says what is
// wrong with it.
func damageInWAL(path string) (why string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	end, whole, err := readWAL(f, fi.Size(), nil)
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", path, err)
	case !whole:
		return fmt.Sprintf("what follows byte %d of %d cannot be read", end, fi.Size()), nil
	}
	return "", nil
}

// Bits of an entry's meta byte in Badger's files.
const (
	badgerBitTxn    = 1 << 6
	badgerBitFinTxn = 1 << 7
)

// readWAL reads a write-ahead log of Badger as Badger does: a header, and
// entries, each of them meta (1), user meta (1), key length, value length and
// expiry (varints), key, value, CRC-32C of all that (4). Those of a transaction
// end with an entry that says so. It returns where the last whole transaction
// ends, calls each with the end of every one, and says whether nothing but zeros
// follows.
func readWAL(f io.Reader, size int64, each func(end int64)) (end int64, whole bool, err error) {
	r := &walReader{in: bufio.NewReaderSize(f, 64<<10), left: size}
	if _, err := r.bytes(valueLogHeaderLen); err != nil {
		return 0, size == 0, r.failed
	}
	end = valueLogHeaderLen
	open := false // a transaction is
	for {
		r.crc = 0
		// An entry without a key is no entry: the zeros behind the last one.
		if head, err := r.in.Peek(int(min(3, r.left))); err != nil || len(head) < 3 || bytes.Equal(head, []byte{0, 0, 0}) {
			zeros, err := r.onlyZeros()
			return end, zeros && !open, err
		}
		meta, ok, err := r.entry()
		if err != nil || !ok {
			return end, false, err
		}
		open = meta&badgerBitTxn != 0 && meta&badgerBitFinTxn == 0
		if !open {
			end = size - r.left
			if each != nil {
				each(end)
			}
		}
	}
}

type walReader struct {
	in   *bufio.Reader
	left int64 // bytes of the file
	crc  uint32
	buf  []byte
	// failed is set if the file cannot be read; that it ends is no failure.
	failed error
}

// bytes returns the next n bytes, until the next call, and adds them to the CRC.
func (r *walReader) bytes(n int) ([]byte, error) {
	if int64(n) > r.left {
		return nil, io.ErrUnexpectedEOF
	}
	r.buf = slices.Grow(r.buf[:0], n)[:n]
	got, err := io.ReadFull(r.in, r.buf)
	r.left -= int64(got)
	r.crc = crc32.Update(r.crc, castagnoli, r.buf[:got])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		r.failed = err
	}
	return r.buf, err
}

// ReadByte is for binary.ReadUvarint.
func (r *walReader) ReadByte() (byte, error) {
	b, err := r.bytes(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// maxWALKey is Badger's bound on the length of a key.
const maxWALKey = 1 << 16

// entry reads one entry; ok says whether it is as it was written.
func (r *walReader) entry() (meta byte, ok bool, err error) {
	head, err := r.bytes(2)
	if err != nil {
		return 0, false, r.failed
	}
	meta = head[0]
	var lengths [3]uint64
	for i := range lengths {
		if lengths[i], err = binary.ReadUvarint(r); err != nil {
			return 0, false, r.failed
		}
	}
	key, value := lengths[0], lengths[1]
	if key > maxWALKey || value > uint64(r.left) {
		return 0, false, nil
	}
	if _, err := r.bytes(int(key + value)); err != nil {
		return 0, false, r.failed
	}
	sum := r.crc
	stored, err := r.bytes(crc32.Size)
	if err != nil {
		return 0, false, r.failed
	}
	return meta, binary.BigEndian.Uint32(stored) == sum, nil
}

// onlyZeros reads the rest.
func (r *walReader) onlyZeros() (bool, error) {
	zeros := make([]byte, 4096)
	for r.left > 0 {
		b, err := r.bytes(int(min(r.left, int64(len(zeros)))))
		if err != nil {
			return false, r.failed
		}
		if !bytes.Equal(b, zeros[:len(b)]) {
			return false, nil
		}
	}
	return true, nil
}
