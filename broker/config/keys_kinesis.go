package config

// kinesisKeys are the settings of streams, as Kinesis knows them.
func kinesisKeys() []Key {
	return []Key{
		{Name: "kinesis.transition.ms", Type: Long, Default: "500", Unit: "ms", Check: Between(0, 3600_000), Update: ClusterWide, Ours: true,
			Doc: "How long a stream is CREATING, UPDATING or DELETING, and a consumer CREATING or DELETING. A reshard, or a deletion, is done when that time is over. 0: at once, before the call that asks for it is answered."},
		{Name: "kinesis.limits", Type: String, Default: "on", Check: OneOf("on", "off"), Update: ClusterWide, Ours: true,
			Doc: "Whether the rates of the Kinesis API are limited as in AWS: throughput and reads of shards, calls per second, and what may be done only so often in 24 hours. Sizes and counts are limited in any case."},
		{Name: "kinesis.shard.limit", Type: Int, Default: "20000", Check: Between(1, maxInt), Update: ClusterWide, Ours: true,
			Doc: "The most open shards of all provisioned streams together. The partitions of topics that Kafka has made count too. More are refused with LimitExceededException."},
		{Name: "kinesis.on.demand.stream.limit", Type: Int, Default: "50", Check: Between(0, maxInt), Update: ClusterWide, Ours: true,
			Doc: "The most streams in on-demand mode. More are refused with LimitExceededException."},
	}
}
