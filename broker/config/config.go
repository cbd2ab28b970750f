// Package config is the room for every setting of the server: their names,
// defaults, limits and documentation in one table, their values in one struct,
// and the loader that fills it from a YAML file, the environment and the
// command line.
//
// Names are Apache Kafka's wherever Kafka names the thing. A setting of Kafka
// that has no effect here is known too, so that tools and files made for Kafka
// meet no surprise; see Effect.
package config

import (
	"fmt"
	"maps"
	"reflect"
	"sync"
)

// Config holds the value of every setting that has an effect. Each field is
// documented at its key in the tables (keys_*.go) and in docs/configuration.md.
//
// A Config is not changed once it is in use: With makes a changed copy.
// A pointer is nil while the setting has no value.
type Config struct {
	// The server and its place.
	NodeID                      int32    `config:"node.id"`
	ClusterID                   string   `config:"cluster.id"` // empty: made at the first start and kept
	Listeners                   []string `config:"listeners"`
	AdvertisedListeners         []string `config:"advertised.listeners"` // nil: the listeners
	ListenerSecurityProtocolMap string   `config:"listener.security.protocol.map"`
	AdminListener               string   `config:"admin.listener"`
	DataDir                     string   `config:"data.dir"`
	LoggingLevel                string   `config:"logging.level"`
	LoggingFormat               string   `config:"logging.format"`

	// Storage.
	StorageSync         string `config:"storage.sync"`
	StorageReserveBytes int64  `config:"storage.reserve.bytes"`
	StorageCacheBytes   int64  `config:"storage.cache.bytes"`

	// Connections and requests.
	MessageMaxBytes              int32  `config:"message.max.bytes"`
	SocketRequestMaxBytes        int32  `config:"socket.request.max.bytes"`
	QueuedMaxRequestBytes        int64  `config:"queued.max.request.bytes"`
	QueuedMaxResponseBytes       int64  `config:"queued.max.response.bytes"`
	MaxConnections               int32  `config:"max.connections"`
	MaxConnectionsPerIP          int32  `config:"max.connections.per.ip"`
	MaxConnectionsPerIPOverrides string `config:"max.connections.per.ip.overrides"`
	ConnectionsMaxIdleMs         int64  `config:"connections.max.idle.ms"`
	ConnectionMaxInFlight        int32  `config:"connection.max.in.flight.requests"`
	ConnectionMaxInFlightBytes   int64  `config:"connection.max.in.flight.bytes"`
	FetchMaxBytes                int32  `config:"fetch.max.bytes"`
	FetchSessionCacheSlots       int32  `config:"max.incremental.fetch.session.cache.slots"`

	// The AWS APIs.
	AWSAddr               string `config:"aws.addr"` // empty: not served
	AWSRegion             string `config:"aws.region"`
	AWSAccountID          string `config:"aws.account.id"`
	AWSTLSCertificateFile string `config:"aws.tls.certificate.file"`
	AWSTLSKeyFile         string `config:"aws.tls.key.file"`
	AWSRequestMaxBytes    int32  `config:"aws.request.max.bytes"`
	AWSQueuedMaxBytes     int64  `config:"aws.queued.max.bytes"`
	AWSMaxConnections     int32  `config:"aws.max.connections"`
	AWSMaxRequests        int32  `config:"aws.max.requests"`
	AWSAllowOrigin        string `config:"aws.access.control.allow.origin"`

	// Topics.
	AutoCreateTopicsEnable       bool  `config:"auto.create.topics.enable"`
	NumPartitions                int32 `config:"num.partitions"`
	DefaultReplicationFactor     int32 `config:"default.replication.factor"`
	DeleteTopicEnable            bool  `config:"delete.topic.enable"`
	MaxTopics                    int32 `config:"max.topics"`
	MaxRequestPartitionSizeLimit int32 `config:"max.request.partition.size.limit"`
	MaxPartitions                int32 `config:"max.partitions"`

	// The log: most are the broker's defaults for topic configs.
	LogRetentionMs                 *int64   `config:"log.retention.ms"` // see RetentionMs
	LogRetentionMinutes            *int32   `config:"log.retention.minutes"`
	LogRetentionHours              int32    `config:"log.retention.hours"`
	LogRetentionBytes              int64    `config:"log.retention.bytes"`
	LogRetentionCheckIntervalMs    int64    `config:"log.retention.check.interval.ms"`
	LogSegmentBytes                int32    `config:"log.segment.bytes"`
	LogRollMs                      *int64   `config:"log.roll.ms"` // see SegmentMs
	LogRollHours                   int32    `config:"log.roll.hours"`
	LogCleanupPolicy               []string `config:"log.cleanup.policy"`
	LogCleanerEnable               bool     `config:"log.cleaner.enable"`
	LogCleanerThreads              int32    `config:"log.cleaner.threads"`
	LogCleanerBackoffMs            int64    `config:"log.cleaner.backoff.ms"`
	LogCleanerDedupeBufferSize     int64    `config:"log.cleaner.dedupe.buffer.size"`
	LogCleanerIoBufferLoadFactor   float64  `config:"log.cleaner.io.buffer.load.factor"`
	LogCleanerIoMaxBytesPerSecond  float64  `config:"log.cleaner.io.max.bytes.per.second"`
	LogCleanerDeleteRetentionMs    int64    `config:"log.cleaner.delete.retention.ms"`
	LogCleanerMinCompactionLagMs   int64    `config:"log.cleaner.min.compaction.lag.ms"`
	LogCleanerMaxCompactionLagMs   int64    `config:"log.cleaner.max.compaction.lag.ms"`
	LogCleanerMinCleanableRatio    float64  `config:"log.cleaner.min.cleanable.ratio"`
	LogMessageTimestampType        string   `config:"log.message.timestamp.type"`
	LogMessageTimestampBeforeMaxMs int64    `config:"log.message.timestamp.before.max.ms"`
	LogMessageTimestampAfterMaxMs  int64    `config:"log.message.timestamp.after.max.ms"`
	MinInsyncReplicas              int32    `config:"min.insync.replicas"`
	CompressionType                string   `config:"compression.type"`
	CompressionGzipLevel           int32    `config:"compression.gzip.level"`
	CompressionLz4Level            int32    `config:"compression.lz4.level"`
	CompressionZstdLevel           int32    `config:"compression.zstd.level"`

	// Groups, producers and transactions.
	OffsetsTopicNumPartitions        int32 `config:"offsets.topic.num.partitions"`
	OffsetsTopicSegmentBytes         int32 `config:"offsets.topic.segment.bytes"`
	OffsetsRetentionMinutes          int32 `config:"offsets.retention.minutes"`
	OffsetsRetentionCheckIntervalMs  int64 `config:"offsets.retention.check.interval.ms"`
	OffsetMetadataMaxBytes           int32 `config:"offset.metadata.max.bytes"`
	GroupInitialRebalanceDelayMs     int32 `config:"group.initial.rebalance.delay.ms"`
	GroupMinSessionTimeoutMs         int32 `config:"group.min.session.timeout.ms"`
	GroupMaxSessionTimeoutMs         int32 `config:"group.max.session.timeout.ms"`
	GroupMaxSize                     int32 `config:"group.max.size"`
	MaxGroups                        int32 `config:"max.groups"`
	ProducerIDExpirationMs           int32 `config:"producer.id.expiration.ms"`
	TransactionalIDExpirationMs      int32 `config:"transactional.id.expiration.ms"`
	TransactionMaxTimeoutMs          int32 `config:"transaction.max.timeout.ms"`
	TransactionStateNumPartitions    int32 `config:"transaction.state.log.num.partitions"`
	TransactionStateSegmentBytes     int32 `config:"transaction.state.log.segment.bytes"`
	TransactionTimeoutsCheckMs       int32 `config:"transaction.abort.timed.out.transaction.cleanup.interval.ms"`
	TransactionalIDExpirationCheckMs int32 `config:"transaction.remove.expired.transaction.cleanup.interval.ms"`
	TransactionPartitionVerification bool  `config:"transaction.partition.verification.enable"`
	AddPartitionsToTxnWaitMs         int32 `config:"add.partitions.to.txn.retry.backoff.max.ms"`
	MaxTransactionalIDs              int32 `config:"max.transactional.ids"`
	MaxTransactionPartitions         int32 `config:"max.transaction.partitions"`

	// Streams.
	KinesisTransitionMs        int64  `config:"kinesis.transition.ms"`
	KinesisLimits              string `config:"kinesis.limits"` // on or off
	KinesisShardLimit          int32  `config:"kinesis.shard.limit"`
	KinesisOnDemandStreamLimit int32  `config:"kinesis.on.demand.stream.limit"`

	// given holds what the file, the environment and the command line said, by
	// key, in canonical text; other holds the given values of keys that have no
	// field, that is, no effect.
	given, other map[string]string
}

// Default returns the settings as they are when nothing is given.
func Default() *Config {
	c := &Config{given: map[string]string{}, other: map[string]string{}}
	for i := range tables() {
		k := &tables()[i]
		if k.Null {
			continue
		}
		if f, ok := fields()[k.Name]; ok {
			v, err := k.Parse(k.Default)
			if err != nil {
				panic("config: a default is not valid: " + err.Error()) // a test goes over all of them
			}
			c.put(f, v)
		}
	}
	return c
}

// RetentionMs is the time-based retention that topics get by default: the first
// of log.retention.ms, .minutes and .hours that is set; -1 for no limit.
func (c *Config) RetentionMs() int64 {
	ms := int64(c.LogRetentionHours) * 3600_000
	switch {
	case c.LogRetentionMs != nil:
		ms = *c.LogRetentionMs
	case c.LogRetentionMinutes != nil:
		ms = int64(*c.LogRetentionMinutes) * 60_000
	}
	return max(ms, -1)
}

// SegmentMs is the age at which topics close a segment by default: log.roll.ms,
// or log.roll.hours where that is not set.
func (c *Config) SegmentMs() int64 {
	if c.LogRollMs != nil {
		return *c.LogRollMs
	}
	return int64(c.LogRollHours) * 3600_000
}

// Given returns what the file, the environment and the command line set, by
// key, as canonical text.
func (c *Config) Given() map[string]string { return maps.Clone(c.given) }

// Text returns the value of a setting as Kafka prints it; ok is false where it
// has none.
func (c *Config) Text(name string) (text string, ok bool) {
	if f, bound := fields()[name]; bound {
		v := reflect.ValueOf(c).Elem().FieldByIndex(f)
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return "", false
			}
			v = v.Elem()
		}
		if v.Kind() == reflect.Slice && v.IsNil() {
			return "", false
		}
		return format(v.Interface()), true
	}
	if text, ok = c.other[name]; ok {
		return text, true
	}
	if ours, ok := aliases[name]; ok {
		return c.Text(ours)
	}
	if k := Lookup(name); k != nil && !k.Null {
		return k.Default, true
	}
	return "", false
}

// aliases are settings of Apache Kafka that go by another name here; they are
// shown with the value of that one.
var aliases = map[string]string{"broker.id": "node.id", "log.dir": "data.dir", "log.dirs": "data.dir"}

// With returns a copy of c with values set over it, checked one by one and as a
// whole. What c was given (Given) stays as it is.
func (c *Config) With(over map[string]string) (*Config, error) {
	d := *c
	d.other = maps.Clone(c.other)
	for name, text := range over {
		k := Lookup(name)
		if k == nil {
			return nil, unknown(name)
		}
		if _, err := d.set(k, text); err != nil {
			return nil, err
		}
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return &d, nil
}

// set gives a setting a value and returns its canonical text.
func (c *Config) set(k *Key, text string) (string, error) {
	v, err := k.Parse(text)
	if err != nil {
		return "", err
	}
	canonical := format(v)
	if f, ok := fields()[k.Name]; ok {
		c.put(f, v)
	} else {
		c.other[k.Name] = canonical
	}
	return canonical, nil
}

func (c *Config) put(field []int, v any) {
	f := reflect.ValueOf(c).Elem().FieldByIndex(field)
	if f.Kind() == reflect.Pointer {
		p := reflect.New(f.Type().Elem())
		p.Elem().Set(reflect.ValueOf(v).Convert(f.Type().Elem()))
		f.Set(p)
		return
	}
	f.Set(reflect.ValueOf(v).Convert(f.Type()))
}

// fields finds the field of Config that holds a key's value.
var fields = sync.OnceValue(func() map[string][]int {
	m := map[string][]int{}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if name, ok := t.Field(i).Tag.Lookup("config"); ok {
			m[name] = t.Field(i).Index
		}
	}
	return m
})

// Lookup finds the definition of a broker setting by its name, or returns nil.
func Lookup(name string) *Key { return byName()[name] }

// Keys returns the definitions of all broker settings, in the order of the
// tables: those with an effect first. They must not be changed.
func Keys() []Key { return tables() }

var byName = sync.OnceValue(func() map[string]*Key {
	m := map[string]*Key{}
	for i := range tables() {
		m[tables()[i].Name] = &tables()[i]
	}
	return m
})

func unknown(name string) error {
	if near := nearest(name); near != "" {
		return fmt.Errorf("unknown setting %s: did you mean %s?", name, near)
	}
	return fmt.Errorf("unknown setting %s: docs/configuration.md lists them all", name)
}
