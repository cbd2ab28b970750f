// Package txn is the transaction coordinator: it says which producer may use a
// transactional id, which partitions its transaction has reached, and whether
// the transaction is committed or aborted; then it has that written into all of
// them. It follows Apache Kafka 4.3, with transaction version 2 (KIP-890) for
// clients that know it and version 0 for those that do not.
//
// The package is in two halves.
//
// A shard is the pure half: all transactional ids of one partition of
// __transaction_state. It does no I/O, reads no clock and starts no goroutine. An
// event (a request, a timer, an append or a marker that ended) comes in with the
// time, and actions go out: answer this request, append these records, write
// this marker, set or cancel this timer. Its tests are transcripts under
// testdata.
//
// Coordinator is the edge: it finds the shard of a transactional id, guards it
// with a lock, does what the shard asks for, and loads shards from the log.
//
// What may be relied on:
//
//   - A transaction changes when the record of its new state is durable, not
//     before, and no answer that depends on it leaves earlier. An append that
//     fails leaves everything as it was.
//   - Once PrepareCommit or PrepareAbort is durable, the transaction ends that
//     way, whatever happens: markers are written until every partition has one,
//     and a restart begins with those that are missing. A partition may get the
//     same marker twice.
//   - No producer can do anything with an epoch that a newer one has replaced.
//   - Records have Apache Kafka's own formats and versions. What the log holds is
//     what a restart brings back.
//   - Strings of requests may be reused once a method has returned: what is kept
//     is copied.
package txn
