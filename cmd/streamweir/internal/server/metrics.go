package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/storage/badgerstore"
)

// emit sends single values as metrics.
type emit chan<- prometheus.Metric

func (ch emit) value(kind prometheus.ValueType, name, help string, v float64) {
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("streamweir_"+name, help, nil, nil), kind, v)
}

func (ch emit) counter(name, help string, v float64) {
	ch.value(prometheus.CounterValue, name, help, v)
}

func (ch emit) gauge(name, help string, v float64) { ch.value(prometheus.GaugeValue, name, help, v) }

// coreMetrics are the counters of the core.
type coreMetrics struct{ core *broker.Core }

func (m coreMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m coreMetrics) Collect(ch chan<- prometheus.Metric) {
	e, s := emit(ch), m.core.Partitions.Stats()
	e.counter("produced_batches_total", "Record batches appended, those of internal topics included.", float64(s.Batches))
	e.counter("produced_bytes_total", "Bytes of record batches appended.", float64(s.Bytes))
	e.counter("fetched_bytes_total", "Bytes of record batches handed to consumers.", float64(s.Fetched))
	e.counter("log_batches_refused_total", "Record batches that were refused.", float64(s.Refused))
	e.counter("log_batches_duplicate_total", "Repeated batches of idempotent producers that were answered as the first.", float64(s.Duplicates))
	e.counter("log_batches_corrupt_total", "Record batches found on disk that cannot be read.", float64(s.Corrupt))
	e.counter("log_offsets_expired_total", "Offsets deleted by retention.", float64(s.Trimmed))
	e.gauge("log_cache_bytes", "Memory of recent record batches.", float64(s.CacheBytes))
	e.gauge("partitions", "Partitions that this broker leads.", float64(s.Partitions))
	e.gauge("topics", "Topics, internal ones included.", float64(len(m.core.Topics.Topics())))
	e.gauge("subscriptions", "Subscriptions of consumers with enhanced fan-out to shards.", float64(m.core.Records.Subscriptions()))
	e.gauge("records_memory_wanted_bytes", "Memory that answers and events to Kinesis consumers wait for.", float64(m.core.Records.MemoryWanted()))
	e.gauge("records_memory_bytes", "Memory of the records that are on their way to Kinesis consumers.", float64(m.core.Records.Memory()))
}

// compactionMetrics are the figures of compaction.
type compactionMetrics struct{ core *broker.Core }

func (m compactionMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m compactionMetrics) Collect(ch chan<- prometheus.Metric) {
	e, s := emit(ch), m.core.Partitions.CompactionStats()
	e.counter("compaction_passes_total", "Passes of compaction that have ended, each over one partition.", float64(s.Passes))
	e.counter("compaction_failures_total", "Passes that have failed.", float64(s.Failed))
	e.counter("compaction_read_bytes_total", "Bytes that compaction has read.", float64(s.Read))
	e.counter("compaction_written_bytes_total", "Bytes of record batches that compaction has written.", float64(s.Written))
	e.counter("compaction_removed_bytes_total", "Bytes by which compaction has made logs shorter.", float64(s.Removed))
	e.counter("compaction_batches_total", "Record batches that compaction has changed or removed.", float64(s.Batches))
	e.counter("compaction_records_total", "Records that passes have looked at.", float64(s.Records))
	e.counter("compaction_records_kept_total", "Of them, those that have stayed.", float64(s.Kept))
	e.counter("compaction_records_without_key_total", "Records that were dropped for want of a key.", float64(s.Keyless))
	e.counter("compaction_seconds_total", "Time that passes have taken.", s.Seconds)
	e.gauge("compaction_max_dirty_ratio", "The largest share of a partition that is not compacted yet, at the last look.", s.MaxDirtyRatio)
	e.gauge("compaction_due_partitions", "Partitions that were due for compaction at the last look.", float64(s.Candidates))
	e.gauge("compaction_uncleanable_partitions", "Partitions that are left out until the next start, since a pass has failed.", float64(len(s.Uncleanable)))
	e.gauge("compaction_map_ratio", "How full the map of keys was in the last pass.", s.MapUse)
	last := 0.0
	if !s.LastPass.IsZero() {
		last = float64(s.LastPass.UnixMilli()) / 1000
	}
	e.gauge("compaction_last_pass_timestamp_seconds", "When the last pass began; 0 for never.", last)
}

// storeMetrics are the counters of the store.
type storeMetrics struct {
	store *badgerstore.Store
	core  *broker.Core
}

func (m storeMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m storeMetrics) Collect(ch chan<- prometheus.Metric) {
	e, s, u := emit(ch), m.store.Stats(), m.store.Usage()
	e.counter("storage_groups_total", "Groups of appends that were committed together.", float64(s.Groups))
	e.counter("storage_groups_synced_total", "Of them, those that were synced to disk first.", float64(s.SyncedGroups))
	e.counter("storage_commits_total", "Database transactions.", float64(s.Commits))
	e.counter("storage_no_space_total", "Appends refused because the disk was full.", float64(s.NoSpace)+float64(m.core.Partitions.Stats().NoSpace))
	e.counter("storage_refused_total", "Appends refused for another reason.", float64(s.Refused))
	e.counter("storage_corrupt_reads_total", "Reads that found damaged data.", float64(s.CorruptReads))
	e.counter("storage_collected_files_total", "Value log files whose space was given back.", float64(s.CollectorRuns))
	e.counter("storage_reclaimed_bytes_total", "Bytes given back to the disk, rewritten ones deducted.", float64(s.Reclaimed))
	healthy := 1.0
	if m.store.Health() != nil {
		healthy = 0
	}
	e.gauge("storage_healthy", "1 while the storage takes writes.", healthy)
	e.gauge("storage_live_bytes", "Bytes of record batches that can be read.", float64(s.LiveBytes))
	e.gauge("storage_log_bytes", "Bytes on disk of the log.", float64(u.LogBytes))
	e.gauge("storage_meta_bytes", "Bytes on disk of the metadata.", float64(u.MetaBytes))
	e.gauge("storage_disk_free_bytes", "Free bytes of the file system.", float64(u.Free))
	e.gauge("storage_disk_total_bytes", "Size of the file system.", float64(u.Total))
	e.gauge("storage_reserve_bytes", "Free bytes below which appends are refused.", float64(u.Reserve))
	buckets := map[float64]uint64{}
	total := uint64(0)
	for i, bound := range badgerstore.CommitBounds {
		total += s.CommitLatency[i]
		buckets[bound] = total
	}
	total += s.CommitLatency[len(badgerstore.CommitBounds)]
	ch <- prometheus.MustNewConstHistogram(
		prometheus.NewDesc("streamweir_storage_commit_seconds", "Time to commit a group.", nil, nil),
		total, s.CommitSeconds, buckets)
}
