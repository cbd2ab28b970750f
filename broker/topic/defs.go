package topic

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/streamweir/streamweir/broker/config"
)

// Def defines one topic config. Its Default is what holds when neither the
// topic nor the broker says anything and it has no synonym.
type Def struct {
	config.Key
	// Synonyms are the broker settings that give the default, the first that
	// is set before the others.
	Synonyms []Synonym
}

// Synonym is a broker setting that stands for a topic config.
type Synonym struct {
	Name string
	// Factor turns its unit into that of the topic config.
	Factor int64
}

// brokerValue is the value of a config for topics that do not set it.
func (d *Def) brokerValue(cfg *config.Config) string {
	for _, s := range d.Synonyms {
		text, ok := cfg.Text(s.Name)
		if !ok {
			continue
		}
		if s.Factor == 1 {
			return text
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("topic: %s is not a whole number: %v", s.Name, err))
		}
		return strconv.FormatInt(max(n*s.Factor, -1), 10)
	}
	return d.Default
}

const (
	minutes = 60_000
	hours   = 3600_000
	maxLong = "9223372036854775807"
	maxInt  = 1<<31 - 1
)

func same(name string) []Synonym { return []Synonym{{name, 1}} }

// Lookup finds the definition of a topic config, or returns nil.
func Lookup(name string) *Def { return byName()[name] }

// Defs returns the definitions of all topic configs, sorted by name. They must
// not be changed.
func Defs() []Def { return defs() }

var byName = sync.OnceValue(func() map[string]*Def {
	m := map[string]*Def{}
	for i := range defs() {
		m[defs()[i].Name] = &defs()[i]
	}
	return m
})

// defs is the list of Apache Kafka 4.3, with what is ours, in order of name.
var defs = sync.OnceValue(func() []Def {
	return []Def{
		{config.Key{Name: "cleanup.policy", Type: config.List, Default: "delete", Check: config.SomeOf("compact", "delete"),
			Doc: "What becomes of old records: delete drops them when their retention is over, compact keeps the last one of each key; both may stand together, and an empty list keeps everything."},
			same("log.cleanup.policy")},
		{config.Key{Name: "compression.gzip.level", Type: config.Int, Default: "-1", Check: config.GzipLevel(),
			Doc: "The level, where compression.type is gzip."},
			same("compression.gzip.level")},
		{config.Key{Name: "compression.lz4.level", Type: config.Int, Default: "9", Check: config.Between(1, 17),
			Doc: "The level, where compression.type is lz4."},
			same("compression.lz4.level")},
		{config.Key{Name: "compression.type", Type: config.String, Default: "producer", Check: config.OneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
			Doc: "How batches are compressed in the log: producer keeps them as they came."},
			same("compression.type")},
		{config.Key{Name: "compression.zstd.level", Type: config.Int, Default: "3", Check: config.Between(-131072, 22),
			Doc: "The level, where compression.type is zstd."},
			same("compression.zstd.level")},
		{config.Key{Name: "delete.retention.ms", Type: config.Long, Default: "86400000", Unit: "ms", Check: config.AtLeast(0),
			Doc: "How long compaction keeps a tombstone, or the marker of a transaction, after it has removed what that deletes or ends."},
			same("log.cleaner.delete.retention.ms")},
		{config.Key{Name: "file.delete.delay.ms", Type: config.Long, Default: "60000", Unit: "ms", Check: config.AtLeast(0), Effect: config.NoEffect,
			Doc: "How long Apache Kafka waits before it removes the file of a deleted segment."},
			same("log.segment.delete.delay.ms")},
		{config.Key{Name: "flush.messages", Type: config.Long, Default: maxLong, Check: config.AtLeast(1), Effect: config.NoEffect,
			Doc: "After how many records Apache Kafka forces a partition to disk. Here storage.sync says when."},
			same("log.flush.interval.messages")},
		{config.Key{Name: "flush.ms", Type: config.Long, Default: maxLong, Unit: "ms", Check: config.AtLeast(0), Effect: config.NoEffect,
			Doc: "After how long Apache Kafka forces a partition to disk. Here storage.sync says when."},
			[]Synonym{{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}}},
		{config.Key{Name: "follower.replication.throttled.replicas", Type: config.List, Default: "", Check: throttledReplicas(), Effect: config.NoEffect,
			Doc: "Replicas whose copying is throttled on the follower's side, as PARTITION:BROKER, or * for all."}, nil},
		{config.Key{Name: "index.interval.bytes", Type: config.Int, Default: "4096", Unit: "bytes", Check: config.Between(0, maxInt), Effect: config.NoEffect,
			Doc: "After how many bytes Apache Kafka adds an entry to its offset index. Here every batch has one."},
			same("log.index.interval.bytes")},
		{config.Key{Name: dataDeletion, Type: config.Boolean, Default: "false", Ours: true,
			Doc: "Whether Kafka clients may delete or alter records of a stream that Kinesis has made or resharded: DeleteRecords, compaction, retention.bytes, and retention.ms below a day."}, nil},
		{config.Key{Name: "leader.replication.throttled.replicas", Type: config.List, Default: "", Check: throttledReplicas(), Effect: config.NoEffect,
			Doc: "Replicas whose copying is throttled on the leader's side, as PARTITION:BROKER, or * for all."}, nil},
		{config.Key{Name: "local.retention.bytes", Type: config.Long, Default: "-2", Unit: "bytes", Check: config.AtLeast(-2), Effect: config.NoEffect,
			Doc: "How much of a partition stays on the broker's own disk with tiered storage. -2: as retention.bytes says."},
			same("log.local.retention.bytes")},
		{config.Key{Name: "local.retention.ms", Type: config.Long, Default: "-2", Unit: "ms", Check: config.AtLeast(-2), Effect: config.NoEffect,
			Doc: "How long records stay on the broker's own disk with tiered storage. -2: as retention.ms says."},
			same("log.local.retention.ms")},
		{config.Key{Name: "max.compaction.lag.ms", Type: config.Long, Default: maxLong, Unit: "ms", Check: config.AtLeast(1),
			Doc: "How long a record stays out of compaction at most, whatever min.cleanable.dirty.ratio says."},
			same("log.cleaner.max.compaction.lag.ms")},
		{config.Key{Name: "max.message.bytes", Type: config.Int, Default: "10485760", Unit: "bytes", Check: config.Between(0, maxInt),
			Doc: "The largest record batch accepted, after compression. A larger one is refused with MESSAGE_TOO_LARGE."},
			same("message.max.bytes")},
		{config.Key{Name: "message.timestamp.after.max.ms", Type: config.Long, Default: "3600000", Unit: "ms", Check: config.AtLeast(0),
			Doc: "How far in the future the timestamp of a new record may lie, with CreateTime; else INVALID_TIMESTAMP."},
			same("log.message.timestamp.after.max.ms")},
		{config.Key{Name: "message.timestamp.before.max.ms", Type: config.Long, Default: maxLong, Unit: "ms", Check: config.AtLeast(0),
			Doc: "How far in the past the timestamp of a new record may lie, with CreateTime; else INVALID_TIMESTAMP."},
			same("log.message.timestamp.before.max.ms")},
		{config.Key{Name: "message.timestamp.type", Type: config.String, Default: "CreateTime", Check: config.OneOf("CreateTime", "LogAppendTime"),
			Doc: "Whether records keep the time that the producer gave them (CreateTime) or get the time of their append (LogAppendTime)."},
			same("log.message.timestamp.type")},
		{config.Key{Name: "min.cleanable.dirty.ratio", Type: config.Double, Default: "0.5", Check: config.Ratio(0, 1),
			Doc: "The share of a log that is not compacted from which compaction is worth while."},
			same("log.cleaner.min.cleanable.ratio")},
		{config.Key{Name: "min.compaction.lag.ms", Type: config.Long, Default: "0", Unit: "ms", Check: config.AtLeast(0),
			Doc: "How long a record stays out of compaction at least."},
			same("log.cleaner.min.compaction.lag.ms")},
		{config.Key{Name: "min.insync.replicas", Type: config.Int, Default: "1", Check: config.Between(1, maxInt),
			Doc: "The replicas that must have a record before an acks=all produce is acknowledged. More than a partition has count as all of them (KIP-966): with one broker there is one, so every value means the same."},
			same("min.insync.replicas")},
		{config.Key{Name: "preallocate", Type: config.Boolean, Default: "false", Effect: config.NoEffect,
			Doc: "Whether Apache Kafka allocates the whole file of a new segment at once."},
			same("log.preallocate")},
		{config.Key{Name: "remote.log.copy.disable", Type: config.Boolean, Default: "false", Effect: config.NoEffect,
			Doc: "Whether tiered storage stops copying this topic."}, nil},
		{config.Key{Name: "remote.log.delete.on.disable", Type: config.Boolean, Default: "false", Effect: config.NoEffect,
			Doc: "Whether switching tiered storage off removes what was copied."}, nil},
		{config.Key{Name: "remote.storage.enable", Type: config.Boolean, Default: "false", Check: notTrue(),
			Doc: "Tiered storage in Apache Kafka's sense, which this server does not have: only false is accepted."}, nil},
		{config.Key{Name: "retention.bytes", Type: config.Long, Default: "-1", Unit: "bytes",
			Doc: "How much of a partition is kept, where cleanup.policy has delete. -1: without limit."},
			same("log.retention.bytes")},
		{config.Key{Name: "retention.ms", Type: config.Long, Default: "604800000", Unit: "ms", Check: config.AtLeast(-1),
			Doc: "How long records are kept, where cleanup.policy has delete. -1: without limit."},
			[]Synonym{{"log.retention.ms", 1}, {"log.retention.minutes", minutes}, {"log.retention.hours", hours}}},
		{config.Key{Name: "segment.bytes", Type: config.Int, Default: "1073741824", Unit: "bytes", Check: config.Between(1<<20, maxInt),
			Doc: "The size at which Apache Kafka closes a segment. Here the store has its own, smaller segments; a size below theirs lets compaction take up the newest records sooner."},
			same("log.segment.bytes")},
		{config.Key{Name: "segment.index.bytes", Type: config.Int, Default: "10485760", Unit: "bytes", Check: config.Between(4, maxInt), Effect: config.NoEffect,
			Doc: "The largest offset index of a segment in Apache Kafka."},
			same("log.index.size.max.bytes")},
		{config.Key{Name: "segment.jitter.ms", Type: config.Long, Default: "0", Unit: "ms", Check: config.AtLeast(0), Effect: config.NoEffect,
			Doc: "By how much at most Apache Kafka closes segments earlier, at random, to spread the work."},
			[]Synonym{{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", hours}}},
		{config.Key{Name: "segment.ms", Type: config.Long, Default: "604800000", Unit: "ms", Check: config.AtLeast(1),
			Doc: "The age at which Apache Kafka closes a segment. Here it is the age from which compaction takes up the newest records too; retention needs no closed segment."},
			[]Synonym{{"log.roll.ms", 1}, {"log.roll.hours", hours}}},
		{config.Key{Name: "unclean.leader.election.enable", Type: config.Boolean, Default: "false", Effect: config.NoEffect,
			Doc: "Whether a replica that may lack records can become leader. With one replica there is none."},
			same("unclean.leader.election.enable")},
	}
})
