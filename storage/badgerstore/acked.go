package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/storage"
)

// Badger replays its write-ahead log up to the first entry that it cannot read
// and drops what follows without a word. So the store notes, outside of Badger,
// the newest version that it has reported as done, and compares at the start.
//
// That needs a database whose highest version never goes down: each transaction
// that deletes also sets a marker. A deletion alone may be compacted away, and
// the version with it; a key's newest value is not.

// ackedExt ends the name of the file that stands beside a database.
const ackedExt = ".acked"

// The file: format (4), flags (4), version (8), boot id (36), CRC-32C (4).
const (
	ackedFormat    = 1
	ackedSynced    = 1 // flag: what it tells of was synced before it was reported
	bootIDLen      = 36
	ackedHeaderLen = 4 + 4 + 8
	ackedLen       = ackedHeaderLen + bootIDLen + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type bootID [bootIDLen]byte

// thisBoot is all zero where the system does not tell.
func thisBoot() (id bootID) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if text = bytes.TrimSpace(text); err == nil && len(text) == bootIDLen {
		copy(id[:], text)
	}
	return id
}

type ackedRecord struct {
	version uint64
	synced  bool
	boot    bootID
}

func (r *ackedRecord) encode(b *[ackedLen]byte) {
	var flags uint32
	if r.synced {
		flags = ackedSynced
	}
	binary.BigEndian.PutUint32(b[0:], ackedFormat)
	binary.BigEndian.PutUint32(b[4:], flags)
	binary.BigEndian.PutUint64(b[8:], r.version)
	copy(b[ackedHeaderLen:], r.boot[:])
	binary.BigEndian.PutUint32(b[ackedLen-4:], crc32.Checksum(b[:ackedLen-4], castagnoli))
}

func decodeAcked(b []byte) (r ackedRecord, err error) {
	if len(b) != ackedLen {
		return r, fmt.Errorf("it has %d bytes, not %d", len(b), ackedLen)
	}
	if crc32.Checksum(b[:ackedLen-4], castagnoli) != binary.BigEndian.Uint32(b[ackedLen-4:]) {
		return r, errors.New("its checksum is wrong")
	}
	if f := binary.BigEndian.Uint32(b); f != ackedFormat {
		return r, fmt.Errorf("its format is %d, not %d", f, ackedFormat)
	}
	r.synced = binary.BigEndian.Uint32(b[4:])&ackedSynced != 0
	r.version = binary.BigEndian.Uint64(b[8:])
	copy(r.boot[:], b[ackedHeaderLen:])
	return r, nil
}

// acked is the watermark of one database, for one goroutine at a time.
type acked struct {
	file *os.File
	log  *zap.Logger
	rec  ackedRecord
	buf  [ackedLen]byte
	bad  bool // a write has failed
}

// openAcked compares what was acknowledged with the version that the database
// of that name has, and refuses one that has less.
func openAcked(dir, name string, has uint64, log *zap.Logger) (_ *acked, err error) {
	path := filepath.Join(dir, name+ackedExt)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the watermark of the %s database: %w", name, err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	a := &acked{file: f, log: log.With(zap.String("file", path))}
	content, err := io.ReadAll(io.LimitReader(f, ackedLen+1))
	if err != nil {
		return nil, fmt.Errorf("read the watermark of the %s database: %w", name, err)
	}
	rec, err := decodeAcked(content)
	if err != nil {
		if len(content) > 0 {
			a.log.Warn("the file that tells what was acknowledged is damaged: whether anything is missing cannot be told", zap.Error(err))
		}
		return a, a.begin(ackedRecord{})
	}
	if has >= rec.version {
		a.rec = rec
		return a, nil
	}
	if boot := thisBoot(); !rec.synced && (boot == bootID{} || boot != rec.boot) {
		a.log.Warn("acknowledged data was lost: the system was started anew before it had written all of it to the disk (storage.sync=os)",
			zap.String("database", name), zap.Uint64("commits", rec.version-has), zap.Uint64("acknowledged", rec.version), zap.Uint64("found", has))
		return a, a.begin(ackedRecord{})
	}
	return nil, fmt.Errorf("open the %s database: %w: it ends at commit %d and %d was acknowledged, so up to %d commits are lost: "+
		"check the disk and restore the directory from a copy; to go on with what is there, remove %s",
		name, storage.ErrLost, has, rec.version, rec.version-has, path)
}

// begin makes the file anew. It vouches for nothing before the next commit.
func (a *acked) begin(rec ackedRecord) error {
	a.rec = rec
	a.rec.encode(&a.buf)
	if err := a.file.Truncate(ackedLen); err != nil {
		return fmt.Errorf("write %s: %w", a.file.Name(), err)
	}
	if _, err := a.file.WriteAt(a.buf[:], 0); err != nil {
		return fmt.Errorf("write %s: %w", a.file.Name(), err)
	}
	return nil
}

// note says that all up to version was reported. It is no more than a write to
// the page cache: what a power cut takes of it only makes the check weaker.
func (a *acked) note(version uint64, synced bool, boot bootID) {
	if version <= a.rec.version {
		return
	}
	a.rec = ackedRecord{version: version, synced: synced, boot: boot}
	a.write()
}

func (a *acked) write() {
	a.rec.encode(&a.buf)
	if _, err := a.file.WriteAt(a.buf[:], 0); err != nil {
		if !a.bad {
			a.log.Warn("what was acknowledged could not be noted: a start could miss that it is lost", zap.Error(err))
		}
		a.bad = true
	}
}

// close is for the end. After a clean one all that was reported is on disk.
func (a *acked) close(clean bool) error {
	if clean {
		if a.rec.version > 0 && !a.rec.synced {
			a.rec.synced = true
			a.write()
		}
		if err := a.file.Sync(); err != nil {
			a.log.Warn("what was acknowledged could not be noted: a start could miss that it is lost", zap.Error(err))
		}
	}
	return a.file.Close()
}

// isDamage says whether Badger's refusal means that files are not as written.
func isDamage(err error) bool {
	for _, sign := range []string{"checksum mismatch", "bad magic", "file does not exist for table", "Manifest file might be corrupted"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}
