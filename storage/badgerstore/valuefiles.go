package badgerstore

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"runtime"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/storage"
)

// valueFiles reads entries of the value log at known places, from mappings of its
// own: without a lock of Badger's, and with each value checked after it was
// copied, when it is in the processor's cache, which takes two thirds of the time.
//
// Nobody tells it when Badger removes a file. Badger empties it first, so that its
// space comes back, and reading the mapping then is a fault that is recovered from
// (guarded). What is written once stays as it is up to then.
type valueFiles struct {
	dir    string
	verify bool
	mu     struct {
		sync.Mutex
		files  map[uint32]*valueFile
		recent list.List // of files; what was used last is at the front
	}
}

// maxValueFiles is how many files are mapped at a time.
const maxValueFiles = 64

type valueFile struct {
	id      uint32
	data    []byte
	element *list.Element // nil when it is no longer kept
	users   int
}

func newValueFiles(dir string, verify bool) *valueFiles {
	f := &valueFiles{dir: dir, verify: verify}
	f.mu.files = map[uint32]*valueFile{}
	return f
}

// errMoved says that an entry is not where it was, or not as it was.
var errMoved = errors.New("the entry is not at its place")

// acquire returns a file of which the first so many bytes are mapped, until
// release.
func (f *valueFiles) acquire(id uint32, bytes int64) (*valueFile, error) {
	if file := f.use(id, bytes); file != nil {
		return file, nil
	}
	data, err := mapFile(valueLogPath(f.dir, id))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) < bytes {
		return nil, errors.Join(errMoved, unix.Munmap(data))
	}
	file := &valueFile{id: id, data: data, users: 1}
	unmap(f.keep(file)...)
	return file, nil
}

// keep puts a file in the place of an older mapping of it, and returns what is to
// be unmapped.
func (f *valueFiles) keep(file *valueFile) (idle [][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.mu.files[file.id]; old != nil {
		idle = append(idle, f.letGo(old))
	}
	f.mu.files[file.id] = file
	file.element = f.mu.recent.PushFront(file)
	if len(f.mu.files) > maxValueFiles {
		idle = append(idle, f.letGo(f.mu.recent.Back().Value.(*valueFile)))
	}
	return idle
}

func (f *valueFiles) use(id uint32, bytes int64) *valueFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.mu.files[id]
	if file == nil || int64(len(file.data)) < bytes {
		return nil
	}
	file.users++
	f.mu.recent.MoveToFront(file.element)
	return file
}

// letGo keeps a file no longer than its users, and returns what is to be unmapped
// now. The caller holds the lock.
func (f *valueFiles) letGo(file *valueFile) (idle []byte) {
	if file.element != nil {
		f.mu.recent.Remove(file.element)
		file.element = nil
		delete(f.mu.files, file.id)
	}
	if file.users > 0 {
		return nil
	}
	idle, file.data = file.data, nil
	return idle
}

// release is the end of acquire. A file in which something was not as expected
// is not kept: it may be gone.
func (f *valueFiles) release(file *valueFile, keep bool) {
	if file == nil {
		return
	}
	unmap(f.released(file, keep))
}

func (f *valueFiles) released(file *valueFile, keep bool) (idle []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file.users--
	if keep && file.element != nil {
		return nil
	}
	return f.letGo(file)
}

// close unmaps all. Nobody reads any more.
func (f *valueFiles) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range f.mu.files {
		unmap(f.letGo(file))
	}
}

func unmap(mappings ...[]byte) {
	for _, m := range mappings {
		if m != nil {
			_ = unix.Munmap(m) // it fails only for what was not mapped
		}
	}
}

func mapFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() == 0 {
		return nil, errMoved
	}
	return unix.Mmap(int(file.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_SHARED)
}

// guarded calls fn, which reads mappings, and returns errMoved where one of them
// has lost its file's content.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if fault, ok := p.(interface {
				runtime.Error
				Addr() uintptr
			}); !ok || fault.Addr() == 0 {
				panic(p)
			}
			err = errMoved
		}
	}()
	return fn()
}

// copyEntry copies what follows skip bytes of the value at x into dst, as much as
// fits, and returns how much that is. scratch is for its own use. What is in dst
// counts for nothing where it returns an error.
func (f *valueFiles) copyEntry(dst []byte, file *valueFile, id storage.Partition, x *place, skip int, scratch *[]byte) (int, error) {
	entry := file.data[x.offset:][:x.entryBytes()]
	head, value := entry[:x.entryHeadBytes()], entry[x.entryHeadBytes():len(entry)-checksumLen]
	n := copy(dst, value[skip:]) // before all else, since it waits for memory least
	want := append((*scratch)[:0], batchKeyLen+versionLen)
	want = append(binary.AppendUvarint(want, uint64(x.size)), 0)
	want = appendBatchKey(want, id, x.info())
	*scratch = want
	if !bytes.Equal(head[2:len(head)-versionLen], want) {
		return 0, errMoved
	}
	if !f.verify {
		return n, nil
	}
	sum := crc32.Update(0, castagnoli, head)
	sum = crc32.Update(sum, castagnoli, value[:skip])
	sum = crc32.Update(sum, castagnoli, dst[:n])
	sum = crc32.Update(sum, castagnoli, value[skip+n:])
	if sum != binary.BigEndian.Uint32(entry[len(entry)-checksumLen:]) {
		return 0, errMoved
	}
	return n, nil
}
