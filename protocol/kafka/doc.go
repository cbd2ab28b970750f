// Package kafka turns bytes of the Kafka protocol into typed values and back:
// record batches, request and response headers, the versions that we serve,
// and the few answers that kmsg cannot encode without copying. The messages
// themselves are kmsg's and the error values are kerr's.
//
// The package holds no state and touches no disk. Every function that reads
// bytes from a client treats them as hostile: it checks lengths before it
// believes them, and it allocates in proportion to what it was given or to a
// named limit, never to what the bytes claim.
//
// Only the record batch of format v2 (magic 2) is known here; Kafka 4.0 removed
// the formats before it.
package kafka
