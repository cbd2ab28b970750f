// Package aws turns bytes of the AWS protocols into typed values and back: JSON
// 1.1 and CBOR bodies, request authorization (Signature Version 4, its form only),
// error bodies, event-stream frames, and the messages of validation. The messages
// of one service are in a package of their own, such as aws/kinesis.
//
// The package holds no state and touches no disk. Every function that reads bytes
// from a client treats them as hostile: memory grows with the bytes that are
// there, never with what they claim.
package aws
