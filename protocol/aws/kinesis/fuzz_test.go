package kinesis

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/streamweir/streamweir/protocol/aws"
)

// Each fuzz test also runs the inputs under testdata/fuzz, which fuzzing found
// and which are kept.

// requests have every kind of member between them.
func requests() []aws.Input {
	return []aws.Input{
		&PutRecordsInput{}, &PutRecordInput{}, &CreateStreamInput{}, &ListShardsInput{}, &RemoveTagsFromStreamInput{},
		&EnableEnhancedMonitoringInput{}, &UpdateStreamModeInput{}, &SubscribeToShardInput{}, &CreateChannelInput{},
	}
}

// decode decodes a body as one of the requests, and validates it.
func decode(t *testing.T, c aws.Codec, which byte, body []byte) bool {
	in := requests()[int(which)%len(requests())]
	if err := c.Decode(bytes.Clone(body), in); err != nil {
		if err.Type != aws.Serialization || len(err.Message) > 2*len(body)+200 {
			t.Fatalf("%s with %d bytes of message", err.Type, len(err.Message))
		}
		return false
	}
	if err := aws.Validate(in); err != nil && len(err.Message) > 11*(64<<10+1000) {
		t.Fatalf("%d bytes of message", len(err.Message))
	}
	return true
}

func FuzzDecodeJSON(f *testing.F) {
	for i, body := range []string{
		`{"Records":[{"Data":"YQ==","PartitionKey":"k\u00e9\n","ExplicitHashKey":null},{"Data":"","PartitionKey":""}],"StreamName":"s","New":{"a":[1,{}]}}`,
		`{"Data":"YWJj","PartitionKey":"k","DryRun":true,"SequenceNumberForOrdering":"12"}`,
		`{"StreamName":"s","ShardCount":2.5e0,"Tags":{"a":"b"},"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`,
		`{"StreamCreationTimestamp":1441215410.867,"ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":-1}}`,
		`{"TagKeys":["a",null,""]}`, `{"ShardLevelMetrics":["ALL"]}`, `{"StreamModeDetails":{}}`,
		`{"StartingPosition":{"Type":"LATEST"}}`, `{"StreamConfigurationList":[{"RecordConfiguration":{}}]}`,
	} {
		f.Add(byte(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		if decode(t, aws.JSON, which, body) && !json.Valid(body) {
			t.Fatalf("%q is no JSON, and was taken", body)
		}
	})
}

func FuzzDecodeCBOR(f *testing.F) {
	for i, body := range []string{
		"\xbf\x67Records\x9f\xbf\x64Data\x41a\x6cPartitionKey\x61k\xff\xff\x6aStreamName\x61s\xff",
		"\xa2\x64Data\x5f\x41a\x41b\xff\x6cPartitionKey\x7f\x61k\xff",
		"\xa2\x6aShardCount\x38\xff\x64Tags\xa1\x61a\x61b",
		"\xbf\x77StreamCreationTimestamp\xc1\x1b\x00\x00\x01\x4f\x8f\x1d\x2b\x33\xff",
		"\xa1\x67TagKeys\x82\x61a\xf6", "\xa1\x71ShardLevelMetrics\x80", "\xa1\x71StreamModeDetails\xa0",
		"\xa1\x61x\x9f\x01\xbf\x61a\xf5\xff\xc2\x41\x01\xf9\x3e\x00\xff",
	} {
		f.Add(byte(i), []byte(body))
	}
	mode, err := cbor.DecOptions{MaxNestedLevels: 65535, MaxArrayElements: 1<<31 - 1, MaxMapPairs: 1<<31 - 1}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		if decode(t, aws.CBOR, which, body) && mode.Wellformed(body) != nil {
			t.Fatalf("%x is not well-formed, and was taken", body)
		}
	})
}
