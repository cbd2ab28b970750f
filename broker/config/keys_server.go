package config

import "math"

const (
	mib    = 1 << 20
	gib    = 1 << 30
	maxInt = math.MaxInt32
)

// serverKeys are the settings of the process, its storage, its connections and
// its catalogue of topics.
func serverKeys() []Key {
	return []Key{
		{Name: "node.id", Type: Int, Default: "1", Check: Between(0, maxInt),
			Doc: "The id of this broker, as clients see it. It is part of what is stored: do not change it on a data directory in use."},
		{Name: "cluster.id", Type: String, Default: "", Ours: true,
			Doc: "The id of the cluster, as clients see it. Empty: made at the first start and kept in the data directory."},
		{Name: "listeners", Type: List, Default: "PLAINTEXT://127.0.0.1:9092",
			Doc: "Where the Kafka protocol is served: a comma-separated list of NAME://HOST:PORT. An empty host means every address; port 0 means any free port. Each name stands once, and so does each port."},
		{Name: "advertised.listeners", Type: List, Null: true,
			Doc: "What clients are told to connect to, in the form of listeners and for the same names. Unset: the listeners themselves, which then need a host that clients can reach (not 0.0.0.0)."},
		{Name: "listener.security.protocol.map", Type: String, Default: "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
			Doc: "Which security protocol each listener name stands for, as NAME:PROTOCOL, comma-separated. Only PLAINTEXT listeners are served so far."},
		{Name: "admin.listener", Type: String, Default: "127.0.0.1:9644", Check: NonEmpty(), Ours: true,
			Doc: "Where /healthz, /readyz and /metrics are served, as HOST:PORT; port 0 means any free port."},
		{Name: "data.dir", Type: String, Default: "./streamweir-data", Check: NonEmpty(), Ours: true,
			Doc: "The directory of everything that is stored. One process at a time may use it."},
		{Name: "logging.level", Type: String, Default: "info", Check: OneOf("debug", "info", "warn", "error"), Ours: true,
			Doc: "The least severe messages that the server writes about itself."},
		{Name: "logging.format", Type: String, Default: "auto", Check: OneOf("auto", "console", "json"), Ours: true,
			Doc: "How the server writes messages about itself: console lines, JSON objects, or auto (console on a terminal, else JSON)."},

		{Name: "storage.sync", Type: String, Default: "always", Check: OneOf("always", "os"), Ours: true,
			Doc: "When an append counts as stored. always: after fsync, so that it survives a power cut. os: after the write reached the operating system, so that it survives a killed process, but not a power cut; this is what Apache Kafka does by default."},
		{Name: "storage.reserve.bytes", Type: Long, Default: "0", Unit: "bytes", Check: AtLeast(0), Ours: true,
			Doc: "Free space of the file system that appends leave alone, for the store's own clean-up. With less left, produce requests are refused until space is back; reads and deletions go on. 0: a twentieth of the disk, but at most 1 GB and at least 48 MiB."},
		{Name: "storage.cache.bytes", Type: Long, Default: "67108864", Unit: "bytes", Check: AtLeast(0), Ours: true,
			Doc: "Memory for the most recent batches of all partitions together, from which consumers at the end of the log are served. 0: none."},

		{Name: "message.max.bytes", Type: Int, Default: "10485760", Unit: "bytes", Check: Between(0, maxInt), Update: ClusterWide,
			Doc: "The largest record batch accepted, after compression. The default (10 MiB) is larger than that of Apache Kafka. Topics override it with max.message.bytes."},
		{Name: "socket.request.max.bytes", Type: Int, Default: "104857600", Unit: "bytes", Check: Between(1024, maxInt),
			Doc: "The largest request accepted. A connection that announces a larger one is closed."},
		{Name: "queued.max.request.bytes", Type: Long, Default: "268435456", Unit: "bytes", Check: AtLeast(mib),
			Doc: "Memory for the requests of all connections together. When it is used up, reading from connections waits. At least socket.request.max.bytes."},
		{Name: "max.connections", Type: Int, Default: "10000", Check: Between(0, maxInt), Update: ClusterWide,
			Doc: "The most connections at a time. Further ones are closed at once."},
		{Name: "max.connections.per.ip", Type: Int, Default: "2147483647", Check: Between(0, maxInt), Update: ClusterWide,
			Doc: "The most connections at a time from one IP address. Further ones are closed at once."},
		{Name: "max.connections.per.ip.overrides", Type: String, Default: "", Update: ClusterWide,
			Doc: "Exceptions from max.connections.per.ip, as ADDRESS:COUNT, comma-separated."},
		{Name: "connections.max.idle.ms", Type: Long, Default: "600000", Unit: "ms", Check: AtLeast(-1),
			Doc: "A connection without a request for this long is closed. -1: never."},
		{Name: "connection.max.in.flight.requests", Type: Int, Default: "64", Check: Between(1, 10000), Ours: true,
			Doc: "The most requests of one connection that are worked on at a time. Further ones wait unread."},
		{Name: "fetch.max.bytes", Type: Int, Default: "57671680", Unit: "bytes", Check: Between(1024, maxInt),
			Doc: "The most record data in one fetch response, whatever the client asks for. A first batch that is larger is still returned."},
		{Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", Check: Between(0, maxInt),
			Doc: "The most fetch sessions kept at a time. A client without a session sends the full list of partitions with each fetch."},

		{Name: "auto.create.topics.enable", Type: Boolean, Default: "true",
			Doc: "Whether a client that asks for the metadata of a topic that does not exist creates it, if the client allows that."},
		{Name: "num.partitions", Type: Int, Default: "1", Check: Between(1, maxInt),
			Doc: "The partitions of a topic that is created without a count."},
		{Name: "default.replication.factor", Type: Int, Default: "1", Check: Between(1, 1),
			Doc: "The replicas of a partition. One broker holds one replica; durability comes from storage.sync."},
		{Name: "delete.topic.enable", Type: Boolean, Default: "true",
			Doc: "Whether topics may be deleted."},
		{Name: "max.request.partition.size.limit", Type: Int, Default: "2000", Check: Between(1, maxInt),
			Doc: "The most partitions in one answer to DescribeTopicPartitions; the client asks for the rest."},
		{Name: "max.topics", Type: Int, Default: "20000", Check: Between(1, maxInt), Ours: true,
			Doc: "The most topics. Creating one more is refused with POLICY_VIOLATION."},
		{Name: "max.partitions", Type: Int, Default: "100000", Check: Between(1, maxInt), Ours: true,
			Doc: "The most partitions of all topics together. Creating more is refused with POLICY_VIOLATION."},
	}
}

// logKeys are the broker's defaults for topic configs, and what else concerns
// the log.
func logKeys() []Key {
	return []Key{
		{Name: "log.retention.ms", Type: Long, Null: true, Unit: "ms", Check: AtLeast(-1), Update: ClusterWide,
			Doc: "How long records are kept. Unset: log.retention.minutes decides. -1: without limit. Topics override it with retention.ms."},
		{Name: "log.retention.minutes", Type: Int, Null: true, Unit: "minutes", Check: Between(-1, maxInt),
			Doc: "How long records are kept, where log.retention.ms is not set. Unset: log.retention.hours decides."},
		{Name: "log.retention.hours", Type: Int, Default: "168", Unit: "hours", Check: Between(-1, maxInt),
			Doc: "How long records are kept, where neither log.retention.ms nor log.retention.minutes is set."},
		{Name: "log.retention.bytes", Type: Long, Default: "-1", Unit: "bytes", Check: AtLeast(-1), Update: ClusterWide,
			Doc: "How much of a partition is kept. -1: without limit. Topics override it with retention.bytes."},
		{Name: "log.retention.check.interval.ms", Type: Long, Default: "300000", Unit: "ms", Check: AtLeast(1),
			Doc: "How often the server looks for records whose retention is over."},
		{Name: "log.segment.bytes", Type: Int, Default: "1073741824", Unit: "bytes", Check: Between(mib, maxInt), Update: ClusterWide, Effect: NoEffect,
			Doc: "The size at which Apache Kafka closes a segment. Here the store has its own, smaller segments. Topics override it with segment.bytes."},
		{Name: "log.roll.ms", Type: Long, Null: true, Unit: "ms", Check: AtLeast(1), Update: ClusterWide, Effect: NoEffect,
			Doc: "The age at which Apache Kafka closes a segment. Unset: log.roll.hours decides. Topics override it with segment.ms."},
		{Name: "log.roll.hours", Type: Int, Default: "168", Unit: "hours", Check: Between(1, maxInt), Effect: NoEffect,
			Doc: "The age at which Apache Kafka closes a segment, where log.roll.ms is not set."},
		{Name: "log.cleanup.policy", Type: List, Default: "delete", Check: SomeOf("compact", "delete"), Update: ClusterWide,
			Doc: "What becomes of old records: delete drops them when their retention is over, compact keeps the last one of each key; both may stand together, and an empty list keeps everything. Compaction is accepted and kept, but not carried out yet. Topics override it with cleanup.policy."},
		{Name: "log.cleaner.delete.retention.ms", Type: Long, Default: "86400000", Unit: "ms", Check: AtLeast(0), Update: ClusterWide, Effect: Planned,
			Doc: "How long compaction keeps a tombstone. Topics override it with delete.retention.ms."},
		{Name: "log.cleaner.min.compaction.lag.ms", Type: Long, Default: "0", Unit: "ms", Check: AtLeast(0), Update: ClusterWide, Effect: Planned,
			Doc: "How long a record stays out of compaction at least. Topics override it with min.compaction.lag.ms."},
		{Name: "log.cleaner.max.compaction.lag.ms", Type: Long, Default: "9223372036854775807", Unit: "ms", Check: AtLeast(1), Update: ClusterWide, Effect: Planned,
			Doc: "How long a record stays out of compaction at most. Topics override it with max.compaction.lag.ms."},
		{Name: "log.cleaner.min.cleanable.ratio", Type: Double, Default: "0.5", Check: Ratio(0, 1), Update: ClusterWide, Effect: Planned,
			Doc: "The share of a log that is not compacted from which compaction is worth while. Topics override it with min.cleanable.dirty.ratio."},
		{Name: "log.message.timestamp.type", Type: String, Default: "CreateTime", Check: OneOf("CreateTime", "LogAppendTime"), Update: ClusterWide,
			Doc: "Whether records keep the time that the producer gave them or get the time of their append. Topics override it with message.timestamp.type."},
		{Name: "log.message.timestamp.before.max.ms", Type: Long, Default: "9223372036854775807", Unit: "ms", Check: AtLeast(0), Update: ClusterWide,
			Doc: "How far in the past the timestamp of a new record may lie, with CreateTime. Topics override it with message.timestamp.before.max.ms."},
		{Name: "log.message.timestamp.after.max.ms", Type: Long, Default: "3600000", Unit: "ms", Check: AtLeast(0), Update: ClusterWide,
			Doc: "How far in the future the timestamp of a new record may lie, with CreateTime. Topics override it with message.timestamp.after.max.ms."},
		{Name: "min.insync.replicas", Type: Int, Default: "1", Check: Between(1, maxInt), Update: ClusterWide,
			Doc: "The replicas that must have a record before an acks=all produce is acknowledged. With one broker there is one: anything above 1 refuses every such produce with NOT_ENOUGH_REPLICAS. Topics override it under the same name."},
		{Name: "compression.type", Type: String, Default: "producer", Check: OneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), Update: ClusterWide,
			Doc: "How batches are compressed in the log: producer keeps them as they came. Topics override it under the same name."},
		{Name: "compression.gzip.level", Type: Int, Default: "-1", Check: GzipLevel(), Update: ClusterWide,
			Doc: "The level, where compression.type is gzip."},
		{Name: "compression.lz4.level", Type: Int, Default: "9", Check: Between(1, 17), Update: ClusterWide,
			Doc: "The level, where compression.type is lz4."},
		{Name: "compression.zstd.level", Type: Int, Default: "3", Check: Between(-131072, 22), Update: ClusterWide,
			Doc: "The level, where compression.type is zstd."},
	}
}

// groupKeys are the settings of groups, producers and transactions.
func groupKeys() []Key {
	return []Key{
		{Name: "offsets.topic.num.partitions", Type: Int, Default: "50", Check: Between(1, 10000),
			Doc: "The partitions of __consumer_offsets when it is created. Not to be changed afterwards: groups would lose sight of their offsets."},
		{Name: "offsets.topic.segment.bytes", Type: Int, Default: "104857600", Unit: "bytes", Check: Between(1, maxInt), Effect: NoEffect,
			Doc: "The segment.bytes of __consumer_offsets."},
		{Name: "offsets.retention.minutes", Type: Int, Default: "10080", Unit: "minutes", Check: Between(1, maxInt),
			Doc: "How long the offsets of a group are kept after its last member left, and those of a standalone consumer after its last commit."},
		{Name: "offsets.retention.check.interval.ms", Type: Long, Default: "600000", Unit: "ms", Check: AtLeast(1),
			Doc: "How often the server looks for offsets whose retention is over."},
		{Name: "offset.metadata.max.bytes", Type: Int, Default: "4096", Unit: "bytes", Check: Between(0, maxInt),
			Doc: "The largest metadata text that a consumer may commit with an offset."},
		{Name: "group.initial.rebalance.delay.ms", Type: Int, Default: "3000", Unit: "ms", Check: Between(0, maxInt),
			Doc: "How long an empty classic group waits for more members before its first rebalance."},
		{Name: "group.min.session.timeout.ms", Type: Int, Default: "6000", Unit: "ms", Check: Between(1, maxInt),
			Doc: "The shortest session timeout that a member of a classic group may ask for."},
		{Name: "group.max.session.timeout.ms", Type: Int, Default: "1800000", Unit: "ms", Check: Between(1, maxInt),
			Doc: "The longest session timeout that a member of a classic group may ask for."},
		{Name: "group.max.size", Type: Int, Default: "2147483647", Check: Between(1, maxInt),
			Doc: "The most members of a classic group."},
		{Name: "max.groups", Type: Int, Default: "10000", Check: Between(1, maxInt), Ours: true,
			Doc: "The most groups. A further one is refused."},
		{Name: "producer.id.expiration.ms", Type: Int, Default: "86400000", Unit: "ms", Check: Between(1, maxInt), Update: ClusterWide,
			Doc: "How long a partition remembers the sequence numbers of an idempotent producer after its last record."},
		{Name: "transactional.id.expiration.ms", Type: Int, Default: "604800000", Unit: "ms", Check: Between(1, maxInt), Effect: Planned,
			Doc: "How long a transactional id without activity is remembered."},
		{Name: "transaction.max.timeout.ms", Type: Int, Default: "900000", Unit: "ms", Check: Between(1, maxInt), Effect: Planned,
			Doc: "The longest transaction timeout that a producer may ask for."},
		{Name: "transaction.state.log.num.partitions", Type: Int, Default: "50", Check: Between(1, 10000), Effect: Planned,
			Doc: "The partitions of __transaction_state when it is created. Not to be changed afterwards."},
		{Name: "transaction.state.log.segment.bytes", Type: Int, Default: "104857600", Unit: "bytes", Check: Between(1, maxInt), Effect: Planned,
			Doc: "The segment size of __transaction_state."},
	}
}
