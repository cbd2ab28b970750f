package kinesisapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

const (
	streamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
	created   = `"StreamCreationTimestamp":`
)

// text is v as JSON, with the keys of objects in order.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestEveryActionIsServed(t *testing.T) {
	served := slices.Sorted(maps.Keys(handlers()))
	if !slices.Equal(served, kinesis.Actions) {
		t.Errorf("served are %v, of %v", served, kinesis.Actions)
	}
}

func TestDescriptionsOfAStream(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":2,"Tags":{"a":"b"},"MaxRecordSizeInKiB":2048}`)
	l.ask("StartStreamEncryption", `{"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`)
	got := l.ask("EnableEnhancedMonitoring", `{"StreamARN":"`+streamARN+`","ShardLevelMetrics":["OutgoingBytes","IncomingBytes"]}`)
	if want := `{"CurrentShardLevelMetrics":[],"DesiredShardLevelMetrics":["IncomingBytes","OutgoingBytes"],"StreamARN":"` + streamARN + `","StreamName":"s"}`; text(got) != want {
		t.Errorf("%s", text(got))
	}
	s, err := l.core.Streams.Stream("s")
	if err != nil {
		t.Fatal(err)
	}
	at := s.CreatedAt.UnixMilli()
	shards := s.Stream.Lineage.Shards()
	d := l.ask("DescribeStream", `{"StreamName":"s"}`)["StreamDescription"].(map[string]any)
	if got := int64(d["StreamCreationTimestamp"].(float64)*1000 + 0.5); got != at {
		t.Errorf("created at %d, want %d", got, at)
	}
	delete(d, "StreamCreationTimestamp")
	shard0 := `{"HashKeyRange":{"EndingHashKey":"170141183460469231731687303715884105727","StartingHashKey":"0"},"SequenceNumberRange":{"StartingSequenceNumber":"` + shards[0].StartingSequence() + `"},"ShardId":"shardId-000000000000"}`
	shard1 := `{"HashKeyRange":{"EndingHashKey":"340282366920938463463374607431768211455","StartingHashKey":"170141183460469231731687303715884105728"},"SequenceNumberRange":{"StartingSequenceNumber":"` + shards[1].StartingSequence() + `"},"ShardId":"shardId-000000000001"}`
	want := `{"EncryptionType":"KMS","EnhancedMonitoring":[{"ShardLevelMetrics":["IncomingBytes","OutgoingBytes"]}],"HasMoreShards":false,"KeyId":"alias/aws/kinesis","RetentionPeriodHours":24,"Shards":[` +
		shard0 + `,` + shard1 + `],"StreamARN":"` + streamARN + `","StreamModeDetails":{"StreamMode":"PROVISIONED"},"StreamName":"s","StreamStatus":"ACTIVE"}`
	if text(d) != want {
		t.Errorf("described as\n%s, want\n%s", text(d), want)
	}
	sum := l.ask("DescribeStreamSummary", `{"StreamName":"s","StreamARN":"`+streamARN+`"}`)["StreamDescriptionSummary"].(map[string]any)
	delete(sum, "StreamCreationTimestamp")
	want = `{"ConsumerCount":0,"EncryptionType":"KMS","EnhancedMonitoring":[{"ShardLevelMetrics":["IncomingBytes","OutgoingBytes"]}],"KeyId":"alias/aws/kinesis","MaxRecordSizeInKiB":2048,"OpenShardCount":2,"RetentionPeriodHours":24,"StreamARN":"` +
		streamARN + `","StreamModeDetails":{"StreamMode":"PROVISIONED"},"StreamName":"s","StreamStatus":"ACTIVE"}`
	if text(sum) != want {
		t.Errorf("summed up as\n%s, want\n%s", text(sum), want)
	}
	d = l.ask("DescribeStream", `{"StreamName":"s","Limit":1}`)["StreamDescription"].(map[string]any)
	if text(d["Shards"]) != `[`+shard0+`]` || d["HasMoreShards"] != true {
		t.Errorf("one shard: %s", text(d))
	}
	d = l.ask("DescribeStream", `{"StreamName":"s","ExclusiveStartShardId":"shardId-000000000000"}`)["StreamDescription"].(map[string]any)
	if text(d["Shards"]) != `[`+shard1+`]` || d["HasMoreShards"] != false {
		t.Errorf("the others: %s", text(d))
	}
}

func TestACreatingStreamShowsNoShards(t *testing.T) {
	l := newLive(t, "kinesis.limits=off", "kinesis.transition.ms=3600000")
	l.ask("CreateStream", `{"StreamName":"s","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
	d := l.ask("DescribeStream", `{"StreamName":"s"}`)["StreamDescription"].(map[string]any)
	if d["StreamStatus"] != "CREATING" || text(d["Shards"]) != "[]" || d["HasMoreShards"] != false {
		t.Errorf("%s", text(d))
	}
	sum := l.ask("DescribeStreamSummary", `{"StreamName":"s"}`)["StreamDescriptionSummary"].(map[string]any)
	if sum["OpenShardCount"] != 0.0 || sum["RecordDistributionStrategy"] != "USER_PARTITION_KEY" || sum["WarmThroughput"] != nil {
		t.Errorf("%s", text(sum))
	}
	if got := l.refused("ListShards", `{"StreamName":"s"}`); got != "ResourceInUseException: Stream s under account 000000000000 not ACTIVE, instead in state CREATING" {
		t.Error(got)
	}
}

func TestStreamsAreListedInPages(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	for i := range 101 {
		l.ask("CreateStream", fmt.Sprintf(`{"StreamName":"s%03d","ShardCount":1}`, i))
	}
	if _, errs, err := l.core.Topics.Create([]topic.NewTopic{
		{Name: "kafka", Partitions: 1, ReplicationFactor: 1}, {Name: strings.Repeat("x", 129), Partitions: 1, ReplicationFactor: 1},
	}, false); err != nil || errs[0] != nil || errs[1] != nil {
		t.Fatal(errs, err)
	}
	if _, err := l.core.Topics.Ensure(topic.ConsumerOffsets); err != nil {
		t.Fatal(err)
	}
	first := l.ask("ListStreams", `{}`)
	names := first["StreamNames"].([]any)
	if len(names) != 100 || names[0] != "kafka" || names[99] != "s098" || first["HasMoreStreams"] != true {
		t.Errorf("%s", text(first))
	}
	s := first["StreamSummaries"].([]any)[1].(map[string]any)
	if s["StreamName"] != "s000" || s["StreamARN"] != strings.TrimSuffix(streamARN, "/s")+"/s000" || s["StreamStatus"] != "ACTIVE" || s["StreamCreationTimestamp"] == nil {
		t.Errorf("%s", text(s))
	}
	for _, body := range []string{`{"NextToken":"` + first["NextToken"].(string) + `"}`, `{"ExclusiveStartStreamName":"s098","Limit":1000}`, `{"ExclusiveStartStreamName":"s0989"}`} {
		rest := l.ask("ListStreams", body)
		if text(rest["StreamNames"]) != `["s099","s100"]` || rest["HasMoreStreams"] != false || rest["NextToken"] != nil {
			t.Errorf("%s: %s", body, text(rest))
		}
	}
	if last := l.ask("ListStreams", `{"ExclusiveStartStreamName":"s100"}`); text(last) != `{"HasMoreStreams":false,"StreamNames":[],"StreamSummaries":[]}` {
		t.Errorf("%s", text(last))
	}
	l.refusals("ListStreams", [][2]string{
		{`{"ExclusiveStartStreamName":"a","NextToken":"x"}`, "InvalidArgumentException: NextToken and ExclusiveStartStreamName cannot be provided together."},
		{`{"NextToken":"x"}`, "InvalidArgumentException: NextToken is invalid."},
		{`{"NextToken":"` + token(nextToken{Action: "ListShards", After: "s", At: 1}) + `"}`, "InvalidArgumentException: NextToken is invalid."},
		{`{"Limit":0}`, "ValidationException: 1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
	})
	if got := l.refused("ListStreams", `{"NextToken":"`+token(nextToken{Action: "ListStreams", After: "s", At: 1})+`"}`); !strings.HasPrefix(got, "ExpiredNextTokenException: NextToken expired") {
		t.Error(got)
	}
}

func token(t nextToken) string { return base64.StdEncoding.EncodeToString([]byte(text(t))) }

// refusals sends requests and compares what they are refused with.
func (l *live) refusals(action string, cases [][2]string) {
	l.t.Helper()
	for _, c := range cases {
		if got := l.refused(action, c[0]); got != c[1] {
			l.t.Errorf("%s %s: %s, want %s", action, c[0], got, c[1])
		}
	}
}

func ids(answer map[string]any) string {
	var out []string
	for _, s := range answer["Shards"].([]any) {
		id := strings.TrimLeft(strings.TrimPrefix(s.(map[string]any)["ShardId"].(string), "shardId-"), "0")
		out = append(out, "0"[:max(0, 1-len(id))]+id)
	}
	return strings.Join(out, " ")
}

func TestShardsAreListedInPagesAndFiltered(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":2}`)
	if got := l.ask("UpdateShardCount", `{"StreamName":"s","TargetShardCount":4,"ScalingType":"UNIFORM_SCALING"}`); text(got) != `{"CurrentShardCount":2,"StreamARN":"`+streamARN+`","StreamName":"s","TargetShardCount":4}` {
		t.Errorf("%s", text(got))
	}
	l.ask("MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-000000000002","AdjacentShardToMerge":"shardId-000000000003"}`)
	s, err := l.core.Streams.Stream("s")
	if err != nil {
		t.Fatal(err)
	}
	sh := s.Stream.Lineage.Shards()
	all := l.ask("ListShards", `{"StreamName":"s"}`)
	if ids(all) != "0 1 2 3 4 5 6" || all["NextToken"] != nil {
		t.Errorf("%s", text(all))
	}
	child := all["Shards"].([]any)[6]
	if want := `{"AdjacentParentShardId":"shardId-000000000003","HashKeyRange":{"EndingHashKey":"170141183460469231731687303715884105727","StartingHashKey":"0"},"ParentShardId":"shardId-000000000002","SequenceNumberRange":{"StartingSequenceNumber":"` +
		sh[6].StartingSequence() + `"},"ShardId":"shardId-000000000006"}`; text(child) != want {
		t.Errorf("%s", text(child))
	}
	closed := all["Shards"].([]any)[2].(map[string]any)
	if want := `{"EndingSequenceNumber":"` + sh[2].EndingSequence() + `","StartingSequenceNumber":"` + sh[2].StartingSequence() + `"}`; text(closed["SequenceNumberRange"]) != want || closed["ParentShardId"] != "shardId-000000000000" {
		t.Errorf("%s", text(closed))
	}
	seconds := func(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }
	for filter, want := range map[string]string{
		`{"Type":"AFTER_SHARD_ID","ShardId":"shardId-000000000003"}`: "4 5 6",
		`{"Type":"AT_LATEST"}`:                                         "4 5 6",
		`{"Type":"FROM_TRIM_HORIZON"}`:                                 "0 1 2 3 4 5 6",
		`{"Type":"FROM_TIMESTAMP","Timestamp":1}`:                      "0 1 2 3 4 5 6",
		`{"Type":"FROM_TIMESTAMP","Timestamp":` + seconds(1<<42) + `}`: "4 5 6",
		`{"Type":"AT_TIMESTAMP","Timestamp":` + seconds(1<<42) + `}`:   "4 5 6",
		`{"Type":"AFTER_SHARD_ID","ShardId":"shardId-000000000099"}`:   "",
	} {
		got := ""
		next := `{"StreamARN":"` + streamARN + `","MaxResults":2,"ShardFilter":` + filter + `}`
		for next != "" {
			page := l.ask("ListShards", next)
			got = strings.TrimSpace(got + " " + ids(page))
			next = ""
			if tok, ok := page["NextToken"].(string); ok {
				next = `{"NextToken":"` + tok + `","MaxResults":2}`
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
	if got := ids(l.ask("ListShards", `{"StreamName":"s","ExclusiveStartShardId":"shardId-000000000004"}`)); got != "5 6" {
		t.Error(got)
	}
	if got := ids(l.ask("ListShards", `{"StreamName":"s",`+created+seconds(s.CreatedAt.UnixMilli())+`}`)); got != "0 1 2 3 4 5 6" {
		t.Error(got)
	}
}

func TestWhatListShardsRefuses(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":3}`)
	page := l.ask("ListShards", `{"StreamName":"s","MaxResults":1}`)["NextToken"].(string)
	property := func(typ, name, of string) string {
		return "InvalidArgumentException: ShardFilter of type " + typ + ": " + name + " must be specified for " + of + ", and only for " + map[bool]string{true: "that.", false: "those."}[name == "ShardId"]
	}
	l.refusals("ListShards", [][2]string{
		{`{}`, "InvalidArgumentException: Either NextToken or StreamName should be provided."},
		{`{"StreamName":"s","NextToken":"x"}`, "InvalidArgumentException: NextToken and StreamName cannot be provided together."},
		{`{"NextToken":"` + page + `","ExclusiveStartShardId":"shardId-000000000001"}`, "InvalidArgumentException: NextToken and ExclusiveStartShardId cannot be provided together."},
		{`{"NextToken":"` + page + `","ShardFilter":{"Type":"AT_LATEST"}}`, "InvalidArgumentException: NextToken and ShardFilter cannot be provided together."},
		{`{"NextToken":"x"}`, "InvalidArgumentException: NextToken is invalid."},
		{`{"StreamName":"none"}`, "ResourceNotFoundException: Stream none under account 000000000000 not found."},
		{`{"StreamARN":"arn:aws:kinesis:us-east-1:111111111111:stream/s"}`, "ResourceNotFoundException: Stream s under account 111111111111 not found."},
		{`{"StreamName":"other","StreamARN":"` + streamARN + `"}`, "InvalidArgumentException: StreamName other and StreamARN " + streamARN + " do not name the same stream."},
		{`{"StreamName":"s",` + created + `1.5}`, "ResourceNotFoundException: Stream s under account 000000000000, created at 1, not found."},
		{`{"StreamName":"s","ExclusiveStartShardId":"nonsense"}`, "InvalidArgumentException: nonsense is not the id of a shard."},
		{`{"StreamName":"s","ShardFilter":{"Type":"AFTER_SHARD_ID"}}`, property("AFTER_SHARD_ID", "ShardId", "AFTER_SHARD_ID")},
		{`{"StreamName":"s","ShardFilter":{"Type":"AT_LATEST","ShardId":"1"}}`, property("AT_LATEST", "ShardId", "AFTER_SHARD_ID")},
		{`{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP"}}`, property("AT_TIMESTAMP", "Timestamp", "AT_TIMESTAMP and FROM_TIMESTAMP")},
		{`{"StreamName":"s","ShardFilter":{"Type":"AT_LATEST","Timestamp":1}}`, property("AT_LATEST", "Timestamp", "AT_TIMESTAMP and FROM_TIMESTAMP")},
	})
	l.ask("DeleteStream", `{"StreamName":"s"}`)
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":3}`)
	if got := l.refused("ListShards", `{"NextToken":"`+page+`"}`); got != "ResourceNotFoundException: The stream does not exist any more." {
		t.Error(got)
	}
}

func TestConsumersOfAStream(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	arns := map[string]string{}
	for _, name := range []string{"b", "c", "a"} {
		c := l.ask("RegisterStreamConsumer", `{"StreamARN":"`+streamARN+`","ConsumerName":"`+name+`","Tags":{"team":"`+name+`"}}`)["Consumer"].(map[string]any)
		if c["ConsumerName"] != name || c["ConsumerStatus"] != "ACTIVE" {
			t.Errorf("%s", text(c))
		}
		arns[name] = c["ConsumerARN"].(string)
		if want := fmt.Sprintf("%s/consumer/%s:%d", streamARN, name, int64(c["ConsumerCreationTimestamp"].(float64))); arns[name] != want {
			t.Errorf("%s, want %s", arns[name], want)
		}
	}
	names := func(answer map[string]any) (out string) {
		for _, c := range answer["Consumers"].([]any) {
			out += c.(map[string]any)["ConsumerName"].(string)
		}
		return out
	}
	first := l.ask("ListStreamConsumers", `{"StreamARN":"`+streamARN+`","MaxResults":2}`)
	rest := l.ask("ListStreamConsumers", `{"StreamARN":"`+streamARN+`","NextToken":"`+first["NextToken"].(string)+`"}`)
	if names(first) != "ab" || names(rest) != "c" || rest["NextToken"] != nil {
		t.Errorf("%s, then %s", text(first), text(rest))
	}
	for _, body := range []string{
		`{"ConsumerARN":"` + arns["b"] + `"}`, `{"StreamARN":"` + streamARN + `","ConsumerName":"b"}`,
		`{"StreamARN":"` + streamARN + `","ConsumerName":"b","ConsumerARN":"` + arns["b"] + `"}`,
	} {
		d := l.ask("DescribeStreamConsumer", body)["ConsumerDescription"].(map[string]any)
		if d["ConsumerARN"] != arns["b"] || d["StreamARN"] != streamARN || d["ConsumerStatus"] != "ACTIVE" || d["ConsumerName"] != "b" {
			t.Errorf("%s: %s", body, text(d))
		}
	}
	l.refusals("DescribeStreamConsumer", [][2]string{
		{`{}`, "InvalidArgumentException: Either ConsumerARN, or both StreamARN and ConsumerName, should be provided."},
		{`{"ConsumerName":"a"}`, "InvalidArgumentException: Either ConsumerARN, or both StreamARN and ConsumerName, should be provided."},
		{`{"StreamARN":"` + streamARN + `","ConsumerName":"d"}`, "ResourceNotFoundException: Consumer d, account 000000000000 not found."},
		{`{"ConsumerARN":"` + streamARN + `/consumer/a:1"}`, "ResourceNotFoundException: Consumer " + streamARN + "/consumer/a:1, account 000000000000 not found."},
		{`{"ConsumerName":"a","ConsumerARN":"` + arns["b"] + `"}`, "InvalidArgumentException: ConsumerName a and ConsumerARN " + arns["b"] + " do not name the same consumer."},
		{`{"StreamARN":"` + streamARN + `x","ConsumerARN":"` + arns["b"] + `"}`, "InvalidArgumentException: StreamARN " + streamARN + "x and ConsumerARN " + arns["b"] + " do not name the same stream."},
	})
	if got := l.ask("ListTagsForResource", `{"ResourceARN":"`+arns["a"]+`"}`); text(got) != `{"Tags":[{"Key":"team","Value":"a"}]}` {
		t.Errorf("%s", text(got))
	}
	l.ask("DeregisterStreamConsumer", `{"ConsumerARN":"`+arns["a"]+`"}`)
	if got := names(l.ask("ListStreamConsumers", `{"StreamARN":"`+streamARN+`"}`)); got != "bc" {
		t.Error(got)
	}
	if got := l.refused("DeleteStream", `{"StreamName":"s"}`); !strings.HasPrefix(got, "ResourceInUseException: DeleteStream can't delete 000000000000:s because") {
		t.Error(got)
	}
}

func TestTagsOfStreamsAndResources(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1,"Tags":{"b":"2"}}`)
	l.ask("AddTagsToStream", `{"StreamName":"s","Tags":{"a":"1","c":""}}`)
	l.ask("TagResource", `{"ResourceARN":"`+streamARN+`","Tags":{"b":"3","d":"4"}}`)
	if got := l.ask("ListTagsForStream", `{"StreamName":"s","Limit":2}`); text(got) != `{"HasMoreTags":true,"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"3"}]}` {
		t.Errorf("%s", text(got))
	}
	if got := l.ask("ListTagsForStream", `{"StreamName":"s","ExclusiveStartTagKey":"b"}`); text(got) != `{"HasMoreTags":false,"Tags":[{"Key":"c","Value":""},{"Key":"d","Value":"4"}]}` {
		t.Errorf("%s", text(got))
	}
	l.ask("RemoveTagsFromStream", `{"StreamName":"s","TagKeys":["a","z"]}`)
	l.ask("UntagResource", `{"ResourceARN":"`+streamARN+`","TagKeys":["b"]}`)
	if got := l.ask("ListTagsForResource", `{"ResourceARN":"`+streamARN+`"}`); text(got) != `{"Tags":[{"Key":"c","Value":""},{"Key":"d","Value":"4"}]}` {
		t.Errorf("%s", text(got))
	}
	many := map[string]string{}
	for i := range 49 {
		many[strconv.Itoa(i)] = ""
	}
	l.refusals("TagResource", [][2]string{
		{`{"ResourceARN":"` + streamARN + `","Tags":` + text(many) + `}`, "InvalidArgumentException: Failed to add tags to stream s under account 000000000000 because it cannot have more than 50 tags associated with it."},
		{`{"ResourceARN":"` + streamARN + `/consumer/c:1","Tags":{"a":"b"}}`, "ResourceNotFoundException: Consumer " + streamARN + "/consumer/c:1, account 000000000000 not found."},
		{`{"ResourceARN":"` + streamARN + `/other/c:1","Tags":{"a":"b"}}`, "InvalidArgumentException: " + streamARN + "/other/c:1 is not the ARN of a consumer."},
		{`{"ResourceARN":"arn:aws:kinesis:us-east-1:000000000000:channel/c","Tags":{"a":"b"}}`, "ResourceNotFoundException: Resource arn:aws:kinesis:us-east-1:000000000000:channel/c not found."},
	})
}

func policy(action, resource string) string {
	return text(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Sid": "x", "Effect": "Allow", "Principal": map[string]any{"AWS": "arn:aws:iam::111111111111:root"}, "Action": []string{action}, "Resource": resource,
	}}})
}

func TestResourcePolicies(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	consumer := l.ask("RegisterStreamConsumer", `{"StreamARN":"`+streamARN+`","ConsumerName":"c"}`)["Consumer"].(map[string]any)["ConsumerARN"].(string)
	for _, arn := range []string{streamARN, consumer} {
		if got := l.ask("GetResourcePolicy", `{"ResourceARN":"`+arn+`"}`); text(got) != `{"Policy":""}` {
			t.Errorf("%s", text(got))
		}
		if got := l.refused("DeleteResourcePolicy", `{"ResourceARN":"`+arn+`"}`); got != "ResourceNotFoundException: No resource policy found for resource ARN "+arn {
			t.Error(got)
		}
		p := policy("kinesis:PutRecord", arn)
		l.ask("PutResourcePolicy", `{"ResourceARN":"`+arn+`","Policy":`+text(p)+`}`)
		if got := l.ask("GetResourcePolicy", `{"ResourceARN":"`+arn+`"}`)["Policy"]; got != p {
			t.Errorf("%s", got)
		}
		l.ask("DeleteResourcePolicy", `{"ResourceARN":"`+arn+`"}`)
	}
	for wrong, why := range map[string]string{
		`{`:  "it is not a policy document in JSON.",
		`[]`: "it is not a policy document in JSON.",
		`{}`: "it has no Statement.",
		`{"Version":"1","Statement":{"Effect":"Allow"}}`:                    "its Version is unknown.",
		`{"Statement":{"Effect":"Maybe"}}`:                                  "the Effect of a Statement must be Allow or Deny.",
		`{"Statement":{"Effect":"Allow"}}`:                                  "a Statement must have a Principal.",
		`{"Statement":{"Effect":"Allow","Principal":"*"}}`:                  "a Statement must have an Action.",
		`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*"}]}`:    "a Statement must have a Resource.",
		`{"Statement":[{"Effect":"Deny","Principal":"*","Efect":"x"}]}`:     "it is not a policy document in JSON.",
		policy("s3:GetObject", streamARN):                                   "its actions must be those of Kinesis.",
		policy("kinesis:PutRecord", streamARN+"x"):                          "its Resource must be the ARN that the policy is attached to.",
		`{"Id":"` + strings.Repeat("x", 20<<10) + `"}`:                      "it is longer than 20480 bytes.",
		policy("kinesis:PutRecord", streamARN) + `x`:                        "it is not a policy document in JSON.",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":[1]}]}`:   "it is not a policy document in JSON.",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":{}}]}`:    "it is not a policy document in JSON.",
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kin"}]}`: "a Statement must have a Resource.",
	} {
		got := l.refused("PutResourcePolicy", `{"ResourceARN":"`+streamARN+`","Policy":`+text(wrong)+`}`)
		if got != "InvalidArgumentException: The resource policy is not valid: "+why {
			t.Errorf("%.80s: %s, want %s", wrong, got, why)
		}
	}
}

func TestAccountSettingsAndLimits(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	if got := l.ask("DescribeAccountSettings", `{}`); text(got) != `{"MinimumThroughputBillingCommitment":{"Status":"DISABLED"}}` {
		t.Errorf("%s", text(got))
	}
	set := func(status string) map[string]any {
		return l.ask("UpdateAccountSettings", `{"MinimumThroughputBillingCommitment":{"Status":"`+status+`"}}`)["MinimumThroughputBillingCommitment"].(map[string]any)
	}
	on := set("ENABLED")
	if on["Status"] != "ENABLED" || on["EarliestAllowedEndAt"].(float64)-on["StartedAt"].(float64) != 86400 || on["EndedAt"] != nil {
		t.Errorf("%s", text(on))
	}
	if off := set("DISABLED"); off["Status"] != "ENABLED_UNTIL_EARLIEST_ALLOWED_END" || off["StartedAt"] != on["StartedAt"] {
		t.Errorf("%s", text(off))
	}
	if again := set("ENABLED"); text(again) != text(on) {
		t.Errorf("%s, before %s", text(again), text(on))
	}
	l.ask("CreateStream", `{"StreamName":"s","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"WarmThroughputMiBps":7}`)
	got := l.ask("UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":9}`)
	if text(got) != `{"StreamARN":"`+streamARN+`","StreamName":"s","WarmThroughput":{"CurrentMiBps":7,"TargetMiBps":9}}` {
		t.Errorf("%s", text(got))
	}
	if sum := l.ask("DescribeStreamSummary", `{"StreamName":"s"}`)["StreamDescriptionSummary"].(map[string]any); text(sum["WarmThroughput"]) != `{"CurrentMiBps":9,"TargetMiBps":9}` {
		t.Errorf("%s", text(sum))
	}
	if got := l.ask("DescribeLimits", `{}`); text(got) != `{"ChannelCount":0,"ChannelCountLimit":0,"OnDemandStreamCount":1,"OnDemandStreamCountLimit":50,"OpenShardCount":0,"ShardLimit":20000}` {
		t.Errorf("%s", text(got))
	}
	l.ask("UpdateStreamRecordDistributionStrategy", `{"StreamARN":"`+streamARN+`","RecordDistributionStrategy":"AUTO"}`)
	if sum := l.ask("DescribeStreamSummary", `{"StreamName":"s"}`)["StreamDescriptionSummary"].(map[string]any); sum["RecordDistributionStrategy"] != "AUTO" {
		t.Errorf("%s", text(sum))
	}
}

func TestSettingsOfAStream(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	l.ask("IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":48}`)
	l.ask("DecreaseStreamRetentionPeriod", `{"StreamARN":"`+streamARN+`","RetentionPeriodHours":25}`)
	l.ask("UpdateMaxRecordSize", `{"StreamARN":"`+streamARN+`","MaxRecordSizeInKiB":10240}`)
	l.ask("UpdateStreamMode", `{"StreamARN":"`+streamARN+`","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
	sum := l.ask("DescribeStreamSummary", `{"StreamName":"s"}`)["StreamDescriptionSummary"].(map[string]any)
	if sum["RetentionPeriodHours"] != 25.0 || sum["MaxRecordSizeInKiB"] != 10240.0 || text(sum["StreamModeDetails"]) != `{"StreamMode":"ON_DEMAND"}` {
		t.Errorf("%s", text(sum))
	}
	s, err := l.core.Streams.Stream("s")
	if err != nil {
		t.Fatal(err)
	}
	if s.Settings.MaxMessageBytes < 10<<20+1024 || s.Settings.RetentionMs != 25*3600_000 || !s.Settings.LogAppendTime {
		t.Errorf("%+v", s.Settings)
	}
	l.ask("StartStreamEncryption", `{"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`)
	l.ask("StopStreamEncryption", `{"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`)
	l.refusals("StartStreamEncryption", [][2]string{
		{`{"StreamName":"s","EncryptionType":"NONE","KeyId":"alias/aws/kinesis"}`, "InvalidArgumentException: EncryptionType NONE is not supported: the only valid value is KMS."},
	})
	if got := l.ask("DisableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["ALL"]}`); text(got["DesiredShardLevelMetrics"]) != "[]" {
		t.Errorf("%s", text(got))
	}
	l.refusals("UpdateMaxRecordSize", [][2]string{
		{`{"MaxRecordSizeInKiB":2048}`, "InvalidArgumentException: Either StreamName or StreamARN should be provided."},
	})
}
