package kinesis

import (
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/protocol/aws"
)

// TestValidationMessages holds the messages to AWS's own words.
func TestValidationMessages(t *testing.T) {
	long := strings.Repeat("a", 129)
	for _, c := range []struct {
		name, body string
		in         aws.Input
		want       string
	}{
		{"nothing", `{}`, &PutRecordsInput{},
			"1 validation error detected: Value null at 'records' failed to satisfy constraint: Member must not be null"},
		{"null", `{"Records":null}`, &PutRecordsInput{},
			"1 validation error detected: Value null at 'records' failed to satisfy constraint: Member must not be null"},
		{"empty list", `{"Records":[]}`, &PutRecordsInput{},
			"1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"in a list", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"},{"PartitionKey":"","ExplicitHashKey":"01"}]}`, &PutRecordsInput{},
			"3 validation errors detected: Value null at 'records.2.member.data' failed to satisfy constraint: Member must not be null; " +
				"Value '01' at 'records.2.member.explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38}); " +
				"Value '' at 'records.2.member.partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"null in a list", `{"Records":[null]}`, &PutRecordsInput{},
			"1 validation error detected: Value null at 'records.1.member.data' failed to satisfy constraint: Member must not be null"},
		{"no partition key, which some streams do not need", `{"Data":""}`, &PutRecordInput{}, ""},
		{"a name's pattern and length", `{"StreamName":""}`, &DescribeStreamInput{},
			"2 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; " +
				"Value '' at 'streamName' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"a name's length", `{"StreamName":"` + long + `"}`, &DescribeStreamInput{},
			"1 validation error detected: Value '" + long + "' at 'streamName' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"a number", `{"StreamName":"s","ShardCount":0}`, &CreateStreamInput{},
			"1 validation error detected: Value '0' at 'shardCount' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"a large number", `{"StreamName":"s","Limit":10001}`, &DescribeStreamInput{},
			"1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"},
		{"an enum", `{"StreamName":"s","ShardId":"x","ShardIteratorType":"SOON"}`, &GetShardIteratorInput{},
			"1 validation error detected: Value 'SOON' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"},
		{"in a structure", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","StreamModeDetails":{}}`, &UpdateStreamModeInput{},
			"1 validation error detected: Value null at 'streamModeDetails.streamMode' failed to satisfy constraint: Member must not be null"},
		{"texts of a list", `{"StreamName":"s","TagKeys":["a",""]}`, &RemoveTagsFromStreamInput{},
			"1 validation error detected: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"enums of a list", `{"StreamName":"s","ShardLevelMetrics":["All"]}`, &EnableEnhancedMonitoringInput{},
			"1 validation error detected: Value '[All]' at 'shardLevelMetrics' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must satisfy enum value set: [IncomingBytes, IncomingRecords, OutgoingBytes, OutgoingRecords, WriteProvisionedThroughputExceeded, ReadProvisionedThroughputExceeded, IteratorAgeMilliseconds, ALL]]"},
		{"keys of a map", `{"StreamName":"s","Tags":{"` + long + `":"v"}}`, &AddTagsToStreamInput{},
			"1 validation error detected: Value '{" + long + "=v}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: " +
				"[Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"values of a map", `{"StreamName":"s","Tags":{"k":"` + long + long + `"}}`, &AddTagsToStreamInput{},
			"1 validation error detected: Value '{k=" + long + long + "}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: " +
				"[Member must have length less than or equal to 256, Member must have length greater than or equal to 0]"},
		{"an ARN", `{"ResourceARN":"arn:aws:kinesis:us-east-1:1:stream/s"}`, &ListTagsForResourceInput{},
			"1 validation error detected: Value 'arn:aws:kinesis:us-east-1:1:stream/s' at 'resourceARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:.*(stream|channel|queue)/\\S+"},
		{"at most ten", `{"Records":[{},{},{},{},{},{},{},{},{},{},{},{}]}`, &PutRecordsInput{},
			"10 validation errors detected: " + strings.TrimSuffix(strings.Repeat("Value null at 'records.#.member.data' failed to satisfy constraint: Member must not be null; ", 10), "; ")},
		{"nothing wrong", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"👍","ExplicitHashKey":"340282366920938463463374607431768211455"}]}`, &PutRecordsInput{}, ""},
		{"a key of 256 characters", `{"Records":[{"Data":"","PartitionKey":"` + strings.Repeat("👍", 256) + `"}]}`, &PutRecordsInput{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := aws.JSON.Decode([]byte(c.body), c.in); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := aws.Validate(c.in); err != nil {
				if err.Type != aws.Validation {
					t.Errorf("type %s", err.Type)
				}
				got = err.Message
			}
			want := c.want
			for i := 1; strings.Contains(want, "#"); i++ {
				want = strings.Replace(want, "#", strconv.Itoa(i), 1)
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestBlobsThatAreTooLarge shows a blob as Java prints it.
func TestBlobsThatAreTooLarge(t *testing.T) {
	in := &PutRecordInput{Data: make([]byte, 10485761)}
	in.PartitionKey = new(string)
	*in.PartitionKey = "k"
	err := aws.Validate(in)
	want := "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=10485761 cap=10485761]' at 'data' failed to satisfy constraint: Member must have length less than or equal to 10485760"
	if err == nil || err.Message != want {
		t.Errorf("got %v", err)
	}
}

// TestLongListsAreNamedWhole: the message repeats each of 501 records.
func TestLongListsAreNamedWhole(t *testing.T) {
	in := &PutRecordsInput{Records: make([]PutRecordsRequestEntry, 501)}
	for i := range in.Records {
		in.Records[i] = PutRecordsRequestEntry{Data: []byte{}, PartitionKey: ptr("k")}
	}
	err := aws.Validate(in)
	if err == nil || strings.Count(err.Message, "com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry@") != 501 ||
		!strings.HasSuffix(err.Message, "]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500") {
		t.Errorf("got %v", err)
	}
}
