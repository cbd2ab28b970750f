// Package group is the group coordinator: it says who is in a consumer group,
// which generation and assignment holds, and which offsets were committed.
// It serves the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup)
// by the rules of Apache Kafka 4.3; consumer groups (KIP-848) and share groups
// (KIP-932) will stand beside the classic ones on the same offsets.
//
// The package is in two halves.
//
// A shard is the pure half: all groups and offsets of one partition of
// __consumer_offsets. It does no I/O, reads no clock and starts no goroutine. An
// event (a request, a timer, an append that ended) comes in with the time, and
// actions go out: answer this request, append these records, set or cancel this
// timer. Its tests are transcripts under testdata.
//
// Coordinator is the edge: it finds the shard of a group, guards it with a
// lock, does what the shard asks for, and loads shards from the log.
//
// What may be relied on:
//
//   - An answer that depends on a record (an offset commit, the assignment of a
//     generation) leaves only after the log has called that record durable.
//     Offsets change when the record is durable, not before, so that nothing
//     is read that a crash could take back.
//   - What the log holds is what a restart brings back: offsets, and for each
//     group its last stable generation with members, assignments and fresh
//     session timers. Members go on with their heartbeats. A rebalance that was
//     under way is forgotten; its members join again.
//   - Records have Apache Kafka's own formats and versions.
//   - Requests and the buffers they were decoded from may be reused once a
//     method has returned: what is kept is copied.
package group
