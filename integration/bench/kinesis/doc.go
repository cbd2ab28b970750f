// Command kinesis measures Streamweir's Kinesis API beside kinesalite and
// kinesis-local: the same load on each, as package comparison runs it, and one
// table of medians with their ratio to kinesalite.
//
// The load generator must cost far less than a server, or the table would
// measure the generator. Puts are encoded and signed once and sent again and
// again over raw HTTP/1.1 connections; of a response only what proves it is read:
// the status, the count of failed records and how many sequence numbers there
// are. Gets are signed one by one, since each carries the iterator that came with
// the last one. What a shard gives back is compared with what was put before the
// clock runs, and every later pass must return as many records. Only the latency of
// enhanced fan-out goes through a real client, aws-sdk-go-v2, since that is what
// a user waits for.
//
// It imports no package of the project but the one it shares with the comparison
// of Kafka brokers: Streamweir is the built binary.
package main
