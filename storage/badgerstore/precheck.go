package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

const (
	tableExt = ".sst"
	// asideExt ends the names of tables that no MANIFEST names, until it is
	// known that nothing is missing.
	asideExt = ".unnamed"
	// maxUnnamedFirst is how many tables a crash leaves while the MANIFEST names
	// none: memtables are flushed one at a time, and a compaction, which may
	// leave more, has tables with names to begin with and to end with.
	maxUnnamedFirst = 1
)

func damaged(name, what string) error {
	return fmt.Errorf("open the %s database: it is corrupt on disk (%s): check the disk and restore the directory from a copy", name, what)
}

// checkDatabase looks at what Badger would make anew where it is missing, or
// panic over, before Badger touches it. Badger removes tables without a name in
// its MANIFEST; they are set aside here, and removed by removeAside.
func checkDatabase(dir, name string) error {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return damaged(name, "the directory "+dir+" is missing")
		}
		return damaged(name, filepath.Join(dir, badger.ManifestFilename)+" is missing")
	}
	if err != nil {
		return fmt.Errorf("open the %s database: %w", name, err)
	}
	defer f.Close()
	manifest, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir))
	if err != nil {
		return damaged(name, fmt.Sprintf("%s: %v", f.Name(), err))
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*"+tableExt))
	if err != nil {
		return err
	}
	memtables, err := filepath.Glob(filepath.Join(dir, "*"+memtableExt))
	if err != nil {
		return err
	}
	// A table that was being flushed still has its write-ahead log beside it.
	if n := len(tables); len(manifest.Tables) == 0 && n > min(maxUnnamedFirst, len(memtables)) {
		return damaged(name, fmt.Sprintf("%s names no tables and there are %d", f.Name(), n))
	}
	for id := range manifest.Tables {
		if err := checkTable(table.NewFilename(id, dir)); errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("open the %s database: %w", name, err)
		} else if err != nil {
			return damaged(name, err.Error())
		}
	}
	for _, path := range tables {
		if id, ok := table.ParseFileID(filepath.Base(path)); ok {
			if _, named := manifest.Tables[id]; !named {
				if err := os.Rename(path, path+asideExt); err != nil {
					return fmt.Errorf("open the %s database: %w", name, err)
				}
			}
		}
	}
	return nil
}

// checkTable opens a table and verifies its checksums, as Badger does: there a
// table that is cut off ends in a panic in a goroutine of its own, which nobody
// could catch, and a damaged one in closing those that are still being opened.
func checkTable(path string) (err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if fi.Size() == 0 {
		return fmt.Errorf("the table %s is empty", path)
	}
	mf, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("the table %s: %w", path, err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the table %s cannot be read: it may have been cut off", path)
			_ = mf.Close(-1) // it was only read
		}
	}()
	t, err := table.OpenTable(mf, table.Options{ChkMode: options.OnTableRead})
	if err != nil {
		return fmt.Errorf("the table %s: %w", path, err)
	}
	return t.Close(-1)
}

// removeAside removes what checkDatabase has set aside.
func removeAside(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+tableExt+asideExt))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
