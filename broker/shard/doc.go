// Package shard holds the rules of shards, by the terms of Kinesis: hash keys
// and the ranges of them that shards take, ids, lineage, split and merge, the
// way to a number of shards, sequence numbers, and the filters of ListShards.
// It is pure: it has no state, no clock and no disk.
//
// A shard is a partition of a topic: shardId-000000000007 is partition 7. Its
// sequence numbers are offsets in another form.
package shard
