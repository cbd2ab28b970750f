package kinesisapi

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/fxamacker/cbor/v2"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/storage"
)

func TestRecordsArePutAndRead(t *testing.T) {
	l := newLive(t)
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":2}`)
	before := time.Now()
	out := l.ask("PutRecords", `{"StreamName":"s","Records":[
		{"PartitionKey":"a","Data":"MA==","ExplicitHashKey":"0"},
		{"PartitionKey":"b","Data":"MQ==","ExplicitHashKey":"340282366920938463463374607431768211455"},
		{"PartitionKey":"ü","Data":"","ExplicitHashKey":"1"}]}`)
	if out["FailedRecordCount"] != 0.0 || len(out["Records"].([]any)) != 3 {
		t.Fatalf("%v", out)
	}
	var sequences []string
	for i, shard := range []int{0, 1, 0} {
		r := out["Records"].([]any)[i].(map[string]any)
		if r["ShardId"] != fmt.Sprintf("shardId-%012d", shard) || len(r) != 2 {
			t.Errorf("record %d: %v", i, r)
		}
		sequences = append(sequences, r["SequenceNumber"].(string))
	}
	it := l.iterator(0, "TRIM_HORIZON")
	got := l.get(it)
	if len(got.Records) != 2 || *got.MillisBehindLatest != 0 || got.NextShardIterator == nil || got.ChildShards != nil {
		t.Fatalf("%+v", got)
	}
	for i, want := range []struct{ sequence, key, data string }{{sequences[0], "a", "0"}, {sequences[2], "ü", ""}} {
		r := got.Records[i]
		if r.SequenceNumber != want.sequence || r.PartitionKey != want.key || string(r.Data) != want.data {
			t.Errorf("record %d is %+v, want %+v", i, r, want)
		}
		if at := time.UnixMilli(int64(r.ApproximateArrivalTimestamp * 1000)); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("it arrived at %v", at)
		}
	}
	l.put("c", "2")
	if got := l.get(*got.NextShardIterator); !slices.Equal(append(got.values(), l.get(l.iterator(1, "TRIM_HORIZON")).values()[1:]...), []string{"2"}) {
		t.Errorf("then %v", got.values())
	}
	at := l.ask("GetShardIterator", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ShardId":"shardId-000000000001","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"`+sequences[1]+`"}`)
	if got := l.get(at["ShardIterator"].(string)); got.values()[0] != "1" {
		t.Errorf("%v", got.values())
	}
}

// TestRecordsInTurn: streams with the record distribution strategy AUTO look neither
// at keys nor at hash keys, and need none.
func TestRecordsInTurn(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
	shards := map[string]int{}
	count := func(records ...any) {
		for _, r := range records {
			shards[r.(map[string]any)["ShardId"].(string)]++
		}
	}
	l.ask("UpdateStreamRecordDistributionStrategy", `{"StreamARN":"`+streamARN+`","RecordDistributionStrategy":"AUTO"}`)
	for range 2 {
		count(l.ask("PutRecords", `{"StreamName":"s","Records":[`+strings.Repeat(`{"Data":"MA==","PartitionKey":"k","ExplicitHashKey":"0"},`, 14)+`{"Data":"MQ=="}]}`)["Records"].([]any)...)
		count(l.ask("PutRecord", `{"StreamName":"s","Data":"MQ=="}`))
	}
	if len(shards) != 4 || slices.Max(slices.Collect(maps.Values(shards))) != 8 {
		t.Errorf("32 records went to %v", shards)
	}
	for shard := range 4 {
		for _, r := range l.get(l.iterator(shard, "TRIM_HORIZON")).Records {
			if key := r.PartitionKey; (key == "k") != (string(r.Data) == "0") || key == "" {
				t.Errorf("a record with %q has the key %q", r.Data, key)
			}
		}
	}
	l.ask("UpdateStreamRecordDistributionStrategy", `{"StreamARN":"`+streamARN+`","RecordDistributionStrategy":"USER_PARTITION_KEY"}`)
	if got := l.refused("PutRecord", `{"StreamName":"s","Data":"MA=="}`); !strings.HasPrefix(got, "ValidationException") {
		t.Errorf("with keys again: %s", got)
	}
}

func TestWhatIsRefusedOfRecords(t *testing.T) {
	l := newLive(t)
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	l.ask("CreateStream", `{"StreamName":"other","ShardCount":1}`)
	s, err := l.core.Streams.Stream("s")
	if err != nil {
		t.Fatal(err)
	}
	future := s.Stream.Lineage.Shard(0).Sequence(0) // of the first record, which is not there yet
	for _, c := range []struct{ action, body, want string }{
		{"PutRecord", `{"StreamName":"x","PartitionKey":"k","Data":"MA=="}`, "ResourceNotFoundException: Stream x under account 000000000000 not found."},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MA==","ExplicitHashKey":"340282366920938463463374607431768211456"}`,
			"InvalidArgumentException: Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 340282366920938463463374607431768211456"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MA==","SequenceNumberForOrdering":"5"}`,
			"InvalidArgumentException: ExclusiveMinimumSequenceNumber 5 used in PutRecord on stream s under account 000000000000 is invalid."},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MA==","SequenceNumberForOrdering":"` + future + `"}`,
			"InvalidArgumentException: ExclusiveMinimumSequenceNumber " + future + " used in PutRecord on stream s under account 000000000000 is invalid."},
		{"PutRecord", `{"StreamName":"s","Data":"MA=="}`, "ValidationException: 1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null"},
		{"PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"MA=="},{"Data":"MA=="}]}`,
			"ValidationException: 1 validation error detected: Value null at 'records.2.member.partitionKey' failed to satisfy constraint: Member must not be null"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"MA==","DryRun":true}`, "DryRunOperationException: The request would have succeeded, but the DryRun parameter is set."},
		{"GetRecords", `{"ShardIterator":"AAAA"}`, "InvalidArgumentException: Invalid ShardIterator."},
		{"GetRecords", fmt.Sprintf(`{"ShardIterator":%q,"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/other"}`, l.iterator(0, "LATEST")),
			"InvalidArgumentException: The ShardIterator is not of stream other under account 000000000000."},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000001","ShardIteratorType":"LATEST"}`,
			"ResourceNotFoundException: Shard shardId-000000000001 in stream s under account 000000000000 does not exist"},
		{"SubscribeToShard", `{"ConsumerARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1","ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"}}`,
			"ResourceNotFoundException: Consumer arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1, account 000000000000 not found."},
	} {
		if got := l.refused(c.action, c.body); got != c.want {
			t.Errorf("%s %s\ngot  %s\nwant %s", c.action, c.body, got, c.want)
		}
	}
	if got := l.get(l.iterator(0, "TRIM_HORIZON")); len(got.Records) != 0 {
		t.Errorf("a dry run has put %v", got.values())
	}
}

func TestThrottledRecordsAreToldOneByOne(t *testing.T) {
	l := newLive(t)
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	big := data(strings.Repeat("x", 700<<10))
	out := l.ask("PutRecords", fmt.Sprintf(`{"StreamName":"s","Records":[{"PartitionKey":"k","Data":%s},{"PartitionKey":"k","Data":%s}]}`, big, big))
	rs := out["Records"].([]any)
	if out["FailedRecordCount"] != 1.0 || rs[0].(map[string]any)["ErrorCode"] != nil {
		t.Errorf("%v", out)
	}
	want := map[string]any{"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000."}
	if got := rs[1].(map[string]any); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
}

// readToEnd reads a shard until it ends, and returns what it held and its children.
func (l *live) readToEnd(shard int) (values []string, last got) {
	l.t.Helper()
	for it := l.iterator(shard, "TRIM_HORIZON"); ; {
		last = l.get(it)
		values = append(values, last.values()...)
		if (last.NextShardIterator == nil) != (len(last.ChildShards) > 0) {
			l.t.Fatalf("next %v with children %v", last.NextShardIterator, last.ChildShards)
		}
		if last.NextShardIterator == nil {
			return values, last
		}
		it = *last.NextShardIterator
	}
}

func TestClosedShardsEndWithTheirChildren(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	arn := l.register("c")
	events := l.subscribe(arn, 0, `{"Type":"TRIM_HORIZON"}`)
	first := l.put("k", "0")
	if e := events.event(); !slices.Equal(e.values(), []string{"0"}) || *e.ContinuationSequenceNumber != first || e.ChildShards != nil {
		t.Fatalf("%+v", e)
	}
	l.ask("SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"100"}`)
	l.put("k", "1")
	values, last := l.readToEnd(0)
	if !slices.Equal(values, []string{"0"}) || *last.MillisBehindLatest != 0 {
		t.Errorf("the parent held %v, %d ms behind", values, *last.MillisBehindLatest)
	}
	const children = "[{shardId-000000000001 [shardId-000000000000] {0 99}} {shardId-000000000002 [shardId-000000000000] {100 340282366920938463463374607431768211455}}]"
	if got := fmt.Sprint(last.ChildShards); got != children {
		t.Errorf("its children are %s", got)
	}
	end := events.event()
	if len(end.Records) != 0 || end.ContinuationSequenceNumber != nil || fmt.Sprint(end.ChildShards) != children {
		t.Errorf("the subscription ends with %+v", end)
	}
	if kind, payload := events.next(); kind != "" {
		t.Errorf("and goes on with %s %s", kind, payload)
	}
	// A consumer that goes on behind what it has checkpointed learns the same.
	events = l.subscribe(arn, 0, fmt.Sprintf(`{"Type":"AFTER_SEQUENCE_NUMBER","SequenceNumber":%q}`, first))
	if e := events.event(); fmt.Sprint(e.ChildShards) != children {
		t.Errorf("%+v", e)
	}
	l.ask("MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-000000000001","AdjacentShardToMerge":"shardId-000000000002"}`)
	values, last = l.readToEnd(2)
	if !slices.Equal(values, []string{"1"}) || fmt.Sprint(last.ChildShards) != "[{shardId-000000000003 [shardId-000000000001 shardId-000000000002] {0 340282366920938463463374607431768211455}}]" {
		t.Errorf("%v, then %v", values, last.ChildShards)
	}
}

func TestSubscriptionsGoOnAfterTheirContinuation(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	arn := l.register("c")
	events := l.subscribe(arn, 0, `{"Type":"LATEST"}`)
	var want, seen []string
	next := ""
	for i := range 20 {
		v := fmt.Sprint(i)
		want = append(want, v)
		l.put("k", v)
		e := events.event()
		seen, next = append(seen, e.values()...), *e.ContinuationSequenceNumber
		if i%5 == 4 {
			events.body.Close()
			l.awaitNoSubscription()
			events = l.subscribe(arn, 0, fmt.Sprintf(`{"Type":"AFTER_SEQUENCE_NUMBER","SequenceNumber":%q}`, next))
		}
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %v", seen)
	}
}

// awaitNoSubscription waits until the server knows that the client is gone.
func (l *live) awaitNoSubscription() {
	for l.core.Records.Subscriptions() > 0 {
		<-time.After(time.Millisecond)
	}
}

func TestATakenOverSubscriptionEndsWithAnException(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	arn := l.register("c")
	events := l.subscribe(arn, 0, `{"Type":"LATEST"}`)
	body := fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"}}`, arn)
	const inUse = "Another active subscription exists for this consumer: 000000000000:s:shardId-000000000000:c"
	if got := l.refused("SubscribeToShard", body); got != "ResourceInUseException: "+inUse {
		t.Error(got)
	}
	l.ask("DeregisterStreamConsumer", fmt.Sprintf(`{"ConsumerARN":%q}`, arn))
	for {
		kind, payload := events.next()
		if kind == "SubscribeToShardEvent" {
			continue
		}
		if kind != "ResourceNotFoundException" || string(payload) != `{"message":"Consumer c, account 000000000000 not found."}` {
			t.Errorf("%s %s", kind, payload)
		}
		break
	}
}

func TestActionsHaveTheirRates(t *testing.T) {
	l := newLive(t)
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	for _, c := range []struct{ action, body, want string }{
		{"DescribeLimits", `{}`, "Rate exceeded for account 000000000000."},
		{"ListStreamConsumers", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"}`, "Rate exceeded for stream s under account 000000000000."},
	} {
		// How many pass depends on how long they take; see package quota for that.
		var body string
		for status := 200; status == 200; {
			var resp *http.Response
			resp, body = do(t, l.http, request(t, l.url, c.action, []byte(c.body)))
			status = resp.StatusCode
		}
		if body != `{"__type":"LimitExceededException","message":"`+c.want+`"}` {
			t.Errorf("%s: %s", c.action, body)
		}
	}
}

func (l *live) register(name string) (arn string) {
	l.t.Helper()
	out := l.ask("RegisterStreamConsumer", fmt.Sprintf(`{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":%q}`, name))
	return out["Consumer"].(map[string]any)["ConsumerARN"].(string)
}

// askCBOR sends a request in CBOR and returns the answer's body.
func (l *live) askCBOR(action string, in map[string]any) *http.Response {
	l.t.Helper()
	body, err := cbor.Marshal(in)
	if err != nil {
		l.t.Fatal(err)
	}
	resp, err := l.http.Do(request(l.t, l.url, action, body, "Content-Type", aws.ContentTypeCBOR))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		l.t.Fatalf("%s: %s %q", action, resp.Status, text)
	}
	return resp
}

// cborRecords are records as the Java SDK reads them.
type cborRecords struct {
	Records []struct {
		SequenceNumber              string
		ApproximateArrivalTimestamp cbor.Tag
		Data                        []byte
		PartitionKey                string
	}
	MillisBehindLatest         int64
	ContinuationSequenceNumber string
	NextShardIterator          string
}

func TestRecordsInCBOR(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	arn := l.register("c")
	var put struct{ SequenceNumber string }
	if err := cbor.NewDecoder(l.askCBOR("PutRecord", map[string]any{"StreamName": "s", "PartitionKey": "k", "Data": []byte{0, 0xff, 1}}).Body).Decode(&put); err != nil {
		t.Fatal(err)
	}
	events := l.askCBOR("SubscribeToShard", map[string]any{"ConsumerARN": arn, "ShardId": "shardId-000000000000", "StartingPosition": map[string]any{"Type": "TRIM_HORIZON"}})
	check := func(from string, r cborRecords) {
		t.Helper()
		if len(r.Records) != 1 || r.MillisBehindLatest != 0 {
			t.Fatalf("%s: %+v", from, r)
		}
		rec := r.Records[0]
		if rec.SequenceNumber != put.SequenceNumber || rec.PartitionKey != "k" || !slices.Equal(rec.Data, []byte{0, 0xff, 1}) || rec.ApproximateArrivalTimestamp.Number != 1 {
			t.Errorf("%s: %+v", from, rec)
		}
	}
	var got cborRecords
	if err := cbor.NewDecoder(l.askCBOR("GetRecords", map[string]any{"ShardIterator": l.iterator(0, "TRIM_HORIZON")}).Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if check("GetRecords", got); got.NextShardIterator == "" {
		t.Error("there is no next iterator")
	}
	d := eventstream.NewDecoder()
	for _, want := range []string{"initial-response", "SubscribeToShardEvent"} {
		m, err := d.Decode(events.Body, nil)
		if err != nil || m.Headers.Get(":event-type").String() != want || m.Headers.Get(":content-type").String() != aws.ContentTypeCBOR {
			t.Fatalf("%v %v", m.Headers, err)
		}
		if want == "initial-response" {
			continue
		}
		var event cborRecords
		if err := cbor.Unmarshal(m.Payload, &event); err != nil {
			t.Fatal(err)
		}
		if check("event", event); event.ContinuationSequenceNumber != put.SequenceNumber {
			t.Errorf("it goes on at %s", event.ContinuationSequenceNumber)
		}
	}
}

// A record of 10 MiB, key and data, goes through every door.
func TestTheLargestRecord(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":10240}`)
	arn := l.register("c")
	events := l.subscribe(arn, 0, `{"Type":"TRIM_HORIZON"}`)
	large := strings.Repeat("0123456789abcdef", 10<<20/16)[:10<<20-256]
	key := strings.Repeat("k", 256)
	l.put(key, large)
	l.ask("PutRecords", fmt.Sprintf(`{"StreamName":"s","Records":[{"PartitionKey":%q,"Data":%s}]}`, key, data(large)))
	if got := l.refused("PutRecord", fmt.Sprintf(`{"StreamName":"s","PartitionKey":%q,"Data":%s}`, key, data(large+"x"))); !strings.HasPrefix(got, "InvalidArgumentException") {
		t.Error(got)
	}
	for it, i := l.iterator(0, "TRIM_HORIZON"), 0; i < 2; i++ {
		got := l.get(it)
		if len(got.Records) != 1 || string(got.Records[0].Data) != large || got.Records[0].PartitionKey != key {
			t.Fatalf("GetRecords: %d records", len(got.Records))
		}
		it = *got.NextShardIterator
		if e := events.event(); len(e.Records) != 1 || string(e.Records[0].Data) != large {
			t.Fatalf("event: %d records", len(e.Records))
		}
	}
}

// Consumers that read nothing cost some events' memory and stop nobody.
func TestConsumersThatDoNotRead(t *testing.T) {
	l := newLive(t, "kinesis.limits=off", "aws.request.max.bytes=4194304", "aws.queued.max.bytes=16777216") // 4 MiB of records
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	const slow = 10
	for i := range slow {
		l.subscribe(l.register(fmt.Sprint("slow", i)), 0, `{"Type":"TRIM_HORIZON"}`)
	}
	fast := l.subscribe(l.register("fast"), 0, `{"Type":"TRIM_HORIZON"}`)
	value := strings.Repeat("x", 100<<10)
	const records = 300
	for range records / 10 {
		var body strings.Builder
		for range 10 {
			fmt.Fprintf(&body, `,{"PartitionKey":"k","Data":%s}`, data(value))
		}
		l.ask("PutRecords", fmt.Sprintf(`{"StreamName":"s","Records":[%s]}`, body.String()[1:]))
	}
	for n := 0; n < records; {
		n += len(fast.event().Records)
	}
	// What each of the slow may hold above the limit is the event on its way.
	if held, most := l.core.Records.Memory(), int64(4<<20+(slow+1)*(2<<20)); held > most {
		t.Errorf("%d bytes of records are held, want at most %d", held, most)
	}
}

// TestRecordsSayWhetherTheyWereEncrypted: each of them, whatever the stream does now.
func TestRecordsSayWhetherTheyWereEncrypted(t *testing.T) {
	l := newLive(t)
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	last := ""
	put := func(data string) {
		after := ""
		if last != "" {
			after = `,"SequenceNumberForOrdering":"` + last + `"`
		}
		last = l.ask("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"`+data+`"`+after+`}`)["SequenceNumber"].(string)
		for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; { // the next switch is in another millisecond
			runtime.Gosched()
		}
	}
	const key = `{"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`
	put("MA==")
	l.ask("StartStreamEncryption", key)
	put("MA==")
	l.ask("StartStreamEncryption", key)
	put("MA==")
	l.ask("StopStreamEncryption", key)
	put("MA==")
	var got []string
	for _, r := range l.get(l.iterator(0, "TRIM_HORIZON")).Records {
		got = append(got, r.EncryptionType)
	}
	if !slices.Equal(got, []string{"", "KMS", "KMS", ""}) {
		t.Errorf("encrypted by %q", got)
	}
}

// TestConsumersNeverShareAnARN: whoever holds that of a consumer that is gone must not
// find another one by it.
func TestConsumersNeverShareAnARN(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	seen := map[string]bool{}
	for range 5 {
		arn := l.register("c")
		if seen[arn] {
			t.Fatalf("%s is that of two consumers", arn)
		}
		seen[arn] = true
		l.ask("DeregisterStreamConsumer", `{"ConsumerARN":"`+arn+`"}`)
	}
}

// TestAFullDiskIsNoSecret: a client is told, and it is no error of the request.
func TestAFullDiskIsNoSecret(t *testing.T) {
	l := newLive(t)
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	l.store.FailWhen(func(*storage.Append) error { return storage.ErrNoSpace })
	const why = "The disk of the server is full: it takes no records until there is space again."
	resp, body := do(t, l.http, request(t, l.url, "PutRecord", []byte(`{"StreamName":"s","PartitionKey":"k","Data":"MA=="}`)))
	if want := `{"__type":"InternalFailureException","message":"` + why + `"}`; resp.StatusCode != 500 || body != want {
		t.Errorf("%s %s", resp.Status, body)
	}
	out := l.ask("PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"MA=="}]}`)
	if want := `[{"ErrorCode":"InternalFailure","ErrorMessage":"` + why + `"}]`; text(out["Records"]) != want {
		t.Errorf("%s", text(out["Records"]))
	}
	if logged := l.logs.FilterLevelExact(zap.ErrorLevel).Len(); logged != 0 {
		t.Errorf("%d errors in the log, which has a line of the store's", logged)
	}
}
