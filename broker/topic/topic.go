package topic

import (
	"strconv"
	"time"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage"
)

// Topic is one topic as it was at some moment. It is never changed: a change
// makes another Topic.
type Topic struct {
	Name       string
	ID         storage.TopicID // a random (version 4) UUID
	Partitions int32
	Configs    map[string]string // what was set for this topic; not to be changed
	Settings   *Settings         // what holds for it
	Internal   bool
	CreatedAt  time.Time // in milliseconds
	Stream     *Stream   // nil where the topic is internal, or its name too long for a stream
}

// Settings are the values that hold for a topic: its own configs, over the
// broker's. Never changed once they are in use.
type Settings struct {
	CleanupDelete          bool
	CleanupCompact         bool
	RetentionMs            int64 // -1 for no limit
	RetentionBytes         int64 // per partition; -1 for no limit
	SegmentBytes           int32
	SegmentMs              int64
	MaxMessageBytes        int32 // of a batch as it comes over the wire
	LogAppendTime          bool  // else CreateTime
	TimestampBeforeMaxMs   int64
	TimestampAfterMaxMs    int64
	CompressionProducer    bool  // keep batches as they came; else Codec holds
	Codec                  int8  // as in a batch's attributes: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
	CompressionLevel       int32 // for the codec; -1 for gzip's own default
	DeleteRetentionMs      int64
	MinCompactionLagMs     int64
	MaxCompactionLagMs     int64
	MinCleanableDirtyRatio float64
	DataDeletion           bool // of a stream, by Kafka clients: see Topic.KeepsData
}

// values reads the configs of a topic over those of the broker.
type values struct {
	own map[string]string
	cfg *config.Config
}

// get returns the parsed value that holds for a topic config. Both maps hold
// only values that were checked, so an error here is a bug in a table.
func (v values) get(name string) any {
	d := Lookup(name)
	text, ok := v.own[name]
	if !ok {
		text = d.brokerValue(v.cfg)
	}
	parsed, err := d.Parse(text)
	if err != nil {
		panic("topic: a value that was checked before is not valid: " + err.Error())
	}
	return parsed
}

func (v values) long(name string) int64 { return v.get(name).(int64) }

func (v values) int(name string) int32 { return int32(v.get(name).(int64)) }

var codecs = map[string]int8{"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

func settings(own map[string]string, cfg *config.Config) *Settings {
	v := values{own, cfg}
	s := &Settings{
		RetentionMs:            max(v.long("retention.ms"), -1),
		RetentionBytes:         max(v.long("retention.bytes"), -1),
		SegmentBytes:           v.int("segment.bytes"),
		SegmentMs:              v.long("segment.ms"),
		MaxMessageBytes:        v.int("max.message.bytes"),
		LogAppendTime:          v.get("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMaxMs:   v.long("message.timestamp.before.max.ms"),
		TimestampAfterMaxMs:    v.long("message.timestamp.after.max.ms"),
		DeleteRetentionMs:      v.long("delete.retention.ms"),
		MinCompactionLagMs:     v.long("min.compaction.lag.ms"),
		MaxCompactionLagMs:     v.long("max.compaction.lag.ms"),
		MinCleanableDirtyRatio: v.get("min.cleanable.dirty.ratio").(float64),
		DataDeletion:           v.get(dataDeletion).(bool),
	}
	for _, policy := range v.get("cleanup.policy").([]string) {
		s.CleanupDelete = s.CleanupDelete || policy == "delete"
		s.CleanupCompact = s.CleanupCompact || policy == "compact"
	}
	codec := v.get("compression.type").(string)
	s.CompressionProducer = codec == "producer"
	s.Codec = codecs[codec]
	switch codec {
	case "gzip", "lz4", "zstd":
		s.CompressionLevel = v.int("compression." + codec + ".level")
	}
	return s
}

func text(n int32) string { return strconv.FormatInt(int64(n), 10) }
