package badgerstore

import (
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"go.uber.org/zap"
)

// Options says how a store works. Only Dir must be set: zero values stand for
// the defaults beside each field.
type Options struct {
	// Dir is the data directory. It is made where it is missing.
	Dir string
	// SyncAlways has an append reported only after fsync. Without it an append
	// is reported when the operating system has it: it survives the end of the
	// process, and not that of the machine.
	SyncAlways bool
	// Logger takes what the store and Badger have to say; nil for silence.
	Logger *zap.Logger

	// ReserveBytes is what appends leave free on the disk, for the clean-up's
	// own writes. Default: a twentieth of the disk, but no more than 1 GB and no
	// less than three value log files.
	ReserveBytes int64

	// A segment is sealed when it has reached one of these. Default: 16 MB,
	// 1024 batches.
	SegmentBytes   int64
	SegmentBatches int32

	// MaxGroupBytes and MaxGroupBatches bound what is committed together.
	// Default: 4096 batches, and 256 KB: while a small group is written, those
	// who wait for it are answered and send more, where one large group would
	// have everybody wait for the disk and then the disk for everybody. With
	// SyncAlways it is 8 MB, since the sync costs more than the waiting.
	MaxGroupBytes   int64
	MaxGroupBatches int
	// CommitsInFlight is how many groups are under way at a time. Default: 4,
	// and 1 with SyncAlways, where fewer groups mean fewer syncs.
	CommitsInFlight int
	// StateBytes bounds derived states on their way to disk. Default: 16 MB.
	StateBytes int64

	// ValueLogFileBytes is the size of the files that hold batches. Space comes
	// back file by file, and a batch must fit into one. Default: a 16th of the
	// disk, between 16 and 128 MB.
	ValueLogFileBytes int64
	// MemtableBytes is the memory for keys not yet in tables. Default: 8 MB.
	MemtableBytes int64
	// InlineBytes is the size from which a batch goes to the value log; smaller
	// ones are kept beside their keys. Default: 512.
	InlineBytes int64

	// PlacesBytes is the memory for where batches lie, as far as listings have
	// found that lately; a batch takes 32 bytes. Default: 16 MB.
	PlacesBytes int64

	// CollectShare is the share of its time that the collector of disk space
	// may work while the disk is not short of it. Default: 0.25.
	CollectShare float64

	// TrustDisk leaves out the check of each batch that is read. It saves a third
	// of the CPU time of reading; what the disk has changed then
	// goes to consumers, which check batches themselves, and a damaged entry
	// header may end the process or block it.
	TrustDisk bool

	// onMessage sees Badger's messages before they are looked at; for tests.
	onMessage func(l *badgerLogger, msg string)
	// syncFile is (*os.File).Sync; for tests.
	syncFile func(*os.File) error
}

const (
	defaultSegmentBytes    = 16 << 20
	defaultSegmentBatches  = 1024
	defaultMaxGroupBytes   = 256 << 10
	defaultMaxGroupAlways  = 8 << 20
	defaultMaxGroupBatches = 4096
	defaultInFlight        = 4
	defaultInFlightAlways  = 1
	defaultStateBytes      = 16 << 20
	defaultMemtableBytes   = 8 << 20
	defaultInlineBytes     = 512
	defaultPlacesBytes     = 16 << 20
	defaultCollectShare    = 0.25

	minValueLogFile = 16 << 20
	maxValueLogFile = 128 << 20
	maxReserve      = 1 << 30
	reserveFiles    = 3

	// levelZeroTables is how many memtables' worth of keys are compacted at a
	// time: more cost less, and let garbage be known later.
	levelZeroTables = 2

	metaMemtableBytes     = 4 << 20
	metaInlineBytes       = 128 << 10
	metaValueLogFileBytes = 32 << 20
)

func setDefault[T int | int32 | int64 | float64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// withDefaults fills in what is not set, for a disk of that size.
func (o Options) withDefaults(diskBytes int64) (Options, error) {
	setDefault(&o.ValueLogFileBytes, min(max(diskBytes/16, minValueLogFile), maxValueLogFile))
	setDefault(&o.ReserveBytes, max(min(diskBytes/20, maxReserve), reserveFiles*o.ValueLogFileBytes))
	setDefault(&o.SegmentBytes, defaultSegmentBytes)
	setDefault(&o.SegmentBatches, defaultSegmentBatches)
	if o.SyncAlways {
		setDefault(&o.MaxGroupBytes, defaultMaxGroupAlways)
	}
	setDefault(&o.MaxGroupBytes, defaultMaxGroupBytes)
	setDefault(&o.MaxGroupBatches, defaultMaxGroupBatches)
	setDefault(&o.StateBytes, defaultStateBytes)
	setDefault(&o.MemtableBytes, defaultMemtableBytes)
	setDefault(&o.InlineBytes, defaultInlineBytes)
	setDefault(&o.PlacesBytes, defaultPlacesBytes)
	setDefault(&o.CollectShare, defaultCollectShare)
	if o.CommitsInFlight == 0 {
		o.CommitsInFlight = defaultInFlight
		if o.SyncAlways {
			o.CommitsInFlight = defaultInFlightAlways
		}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.syncFile == nil {
		o.syncFile = (*os.File).Sync
	}
	for name, v := range map[string]int64{
		"ValueLogFileBytes": o.ValueLogFileBytes - 1<<20 + 1, "ReserveBytes": o.ReserveBytes,
		"SegmentBytes": o.SegmentBytes, "SegmentBatches": int64(o.SegmentBatches),
		"MaxGroupBytes": o.MaxGroupBytes, "MaxGroupBatches": int64(o.MaxGroupBatches),
		"CommitsInFlight": int64(o.CommitsInFlight), "StateBytes": o.StateBytes,
		"MemtableBytes": o.MemtableBytes - 64<<10 + 1, "InlineBytes": o.InlineBytes,
		"PlacesBytes": o.PlacesBytes,
		"a tenth of MemtableBytes less InlineBytes": o.MemtableBytes/10 - o.InlineBytes,
	} {
		if v <= 0 {
			return o, fmt.Errorf("storage options: %s is too small", name)
		}
	}
	if o.CollectShare < 0 || o.CollectShare > 1 {
		return o, fmt.Errorf("storage options: CollectShare is %v, not between 0 and 1", o.CollectShare)
	}
	return o, nil
}

// maxBatchBytes is the largest batch: it has to fit into a value log file.
func (o *Options) maxBatchBytes() int { return int(o.ValueLogFileBytes - 4096) }

// logOptions tunes the database of batches. Tables hold little but keys, so
// they are small, and are compacted early: only compaction tells which parts
// of the value log can be thrown away.
func (o *Options) logOptions(dir string, logger badger.Logger) badger.Options {
	b := commonOptions(dir, logger)
	b.SyncWrites = o.SyncAlways
	b.VerifyValueChecksum = !o.TrustDisk
	b.MemTableSize = o.MemtableBytes
	b.ValueThreshold = o.InlineBytes
	b.ValueLogFileSize = o.ValueLogFileBytes
	b.BaseTableSize = 2 << 20
	b.BaseLevelSize = 16 << 20
	b.NumLevelZeroTables = levelZeroTables
	b.NumLevelZeroTablesStall = 16
	b.NumMemtables = 3
	return b
}

// metaOptions tunes the database of metadata: small, and synced at each commit.
func (o *Options) metaOptions(dir string, logger badger.Logger) badger.Options {
	b := commonOptions(dir, logger)
	b.SyncWrites = true
	b.MemTableSize = metaMemtableBytes
	b.ValueThreshold = metaInlineBytes
	b.ValueLogFileSize = metaValueLogFileBytes
	b.NumMemtables = 2
	return b
}

func commonOptions(dir string, logger badger.Logger) badger.Options {
	b := badger.DefaultOptions(dir)
	b.Logger = logger
	// Values that the disk has changed must be noticed, and Badger's reader
	// does not survive all of them without this check.
	b.VerifyValueChecksum = true
	b.ChecksumVerificationMode = options.OnTableRead
	b.DetectConflicts = false // one writer per key
	b.MetricsEnabled = false
	b.Compression = options.None // batches are compressed by their producers
	b.BlockCacheSize = 0         // uncompressed blocks are read from the mapping
	b.IndexCacheSize = 0
	b.NumCompactors = 2
	b.NumGoroutines = 1
	return b
}
