// Package kinesisapi is the Kinesis front: it takes HTTP requests, decodes and
// validates them, asks the core, and writes responses, or events of a subscription.
//
// # Adding a handler
//
// A handler does three things: check who may, call the core, translate the outcome.
// It is a method of Server in the file of its family of actions (streams.go,
// records.go ...), and has one line in a table: controlplane.go or dataplane.go.
//
//	"DescribeStream": answers((*Server).describeStream),
//	"DeleteStream":   acknowledges((*Server).deleteStream),
//	"SubscribeToShard": subscribes((*Server).subscribeToShard),
//
//	func (s *Server) describeStream(ctx context.Context, call *Call, in *kinesis.DescribeStreamInput) (*kinesis.DescribeStreamOutput, error)
//	func (s *Server) deleteStream(ctx context.Context, call *Call, in *kinesis.DeleteStreamInput) error
//	func (s *Server) subscribeToShard(ctx context.Context, call *Call, in *kinesis.SubscribeToShardInput, out *EventStream) error
//
// When a handler runs, the input is decoded and has passed the constraints of the
// API's model; what the model does not say is the handler's or the core's to check.
// Blobs of the input (Data of records) lie in the request's buffer and hold only
// until the handler returns; texts may be kept. An error of the core that a client
// may see is a *stream.Error or *aws.Error; anything else is logged and answered as
// InternalFailureException. ctx ends when the client is gone and, for a subscription,
// when the server stops.
//
// What an answer holds on to until it is sent, such as the memory of records, is
// given back by Call.after.
package kinesisapi
