// Package quota holds what clients may use in a span of time: the limits of
// streams, shards and consumers as Kinesis has them, the rates of its actions,
// and the meters behind the metrics that CloudWatch has for them. A limit and
// its meter are fed by the same call.
//
// Everything here lives as long as its stream does, and is as many as there are
// shards and consumers; nothing is kept over a restart.
package quota
