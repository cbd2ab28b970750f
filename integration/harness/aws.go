package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/awssdk"
)

// AWS is where the Kinesis API is served, for clients of every language.
type AWS struct {
	URL string
	// Server is what serves it; nil where that is another emulator.
	Server *Server
}

// SharedAWS is the API of the shared server, or of the emulator that
// STREAMWEIR_TEST_AWS_ENDPOINT names: what no emulator passes may be wrong.
func SharedAWS(t testing.TB) AWS {
	t.Helper()
	if peer := PeerAWS(); peer != "" {
		return AWS{URL: peer}
	}
	OnlyStreamweir(t, "the Kinesis API")
	s := Shared(t)
	return AWS{URL: s.AWSURL(), Server: s}
}

// PeerAWS is the address of the emulator that the tests run against, "" for none.
func PeerAWS() string { return os.Getenv(envAWS) }

// OnlyOurAWS skips a test of what emulators do not have or do otherwise.
func OnlyOurAWS(t testing.TB, why string) {
	t.Helper()
	if PeerAWS() != "" {
		t.Skip("not for other emulators: " + why)
	}
}

// AWSEnviron are the variables by which AWS clients of every language find
// credentials and region.
func AWSEnviron() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + awssdk.Key, "AWS_SECRET_ACCESS_KEY=" + awssdk.Secret, "AWS_REGION=" + awssdk.Region,
		"AWS_DEFAULT_REGION=" + awssdk.Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// Kinesis is a client of the Go SDK. Options come last.
func (a AWS) Kinesis(opts ...func(*kinesis.Options)) *kinesis.Client {
	return awssdk.Kinesis(a.URL, opts...)
}

// Stream creates a stream for the test, waits until it is active, and deletes it
// afterwards where the server is still there.
func (a AWS) Stream(t testing.TB, shards int32) string {
	t.Helper()
	name := Name(t, "s")
	cl := a.Kinesis()
	ctx := Context(t, Long)
	if _, err := cl.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards}); err != nil {
		t.Fatalf("create stream %s: %v", name, err)
	}
	t.Cleanup(func() {
		if a.Server == nil || a.Server.PID() != 0 {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, _ = cl.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name, EnforceConsumerDeletion: aws.Bool(true)})
		}
	})
	WaitActive(t, cl, name)
	return name
}

// WaitActive waits until a stream is active, and returns its description.
func WaitActive(t testing.TB, cl *kinesis.Client, name string) *types.StreamDescriptionSummary {
	t.Helper()
	ctx := Context(t, Long)
	var found *types.StreamDescriptionSummary
	Eventually(t, Long, "stream "+name+" is active", func() error {
		out, err := cl.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return err
		}
		if found = out.StreamDescriptionSummary; found.StreamStatus != types.StreamStatusActive {
			return fmt.Errorf("it is %s", found.StreamStatus)
		}
		return nil
	})
	return found
}

// Shards lists the shards of a stream, open and closed.
func Shards(t testing.TB, cl *kinesis.Client, name string) []types.Shard {
	t.Helper()
	var all []types.Shard
	in := &kinesis.ListShardsInput{StreamName: &name}
	for {
		out, err := cl.ListShards(Context(t, Long), in)
		if err != nil {
			t.Fatalf("list the shards of %s: %v", name, err)
		}
		all = append(all, out.Shards...)
		if out.NextToken == nil {
			return all
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// Open says whether a shard takes records.
func Open(s types.Shard) bool { return s.SequenceNumberRange.EndingSequenceNumber == nil }

// ReadShard reads a shard from a position to its end, or to what is its end now.
// children is set where the shard is closed and read to its end.
func ReadShard(ctx context.Context, cl *kinesis.Client, in *kinesis.GetShardIteratorInput) (records []types.Record, children []types.ChildShard, err error) {
	var again *types.ProvisionedThroughputExceededException
	it, err := cl.GetShardIterator(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	for iterator := it.ShardIterator; iterator != nil; {
		out, err := cl.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if errors.As(err, &again) {
			<-time.After(200 * time.Millisecond)
			continue
		}
		if err != nil {
			return records, nil, err
		}
		records = append(records, out.Records...)
		children, iterator = out.ChildShards, out.NextShardIterator
		if iterator != nil && len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			break
		}
	}
	return records, children, nil
}

// ReadStream reads all shards of a stream from their beginning, by shard.
func ReadStream(t testing.TB, cl *kinesis.Client, name string) map[string][]types.Record {
	t.Helper()
	all := map[string][]types.Record{}
	for _, s := range Shards(t, cl, name) {
		records, _, err := ReadShard(Context(t, 2*Long), cl, &kinesis.GetShardIteratorInput{
			StreamName: &name, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			t.Fatalf("read %s of %s: %v", *s.ShardId, name, err)
		}
		all[*s.ShardId] = records
	}
	return all
}
