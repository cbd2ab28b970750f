package kinesis

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/protocol/aws"
)

func TestEncode(t *testing.T) {
	for _, c := range []struct {
		out        aws.Output
		json, cbor string
	}{
		{&GetRecordsOutput{MillisBehindLatest: ptr(int64(0)), NextShardIterator: ptr("i")},
			`{"Records":[],"NextShardIterator":"i","MillisBehindLatest":0}`,
			"bf" + "675265636f726473" + "80" + "714e65787453686172644974657261746f72" + "6169" + "724d696c6c69734265" + "68696e644c6174657374" + "00" + "ff"},
		{&Record{SequenceNumber: ptr("1"), ApproximateArrivalTimestamp: ptr(aws.Time(1441215410867)), Data: []byte("a"), PartitionKey: ptr("k\"\u00e9\n")},
			`{"SequenceNumber":"1","ApproximateArrivalTimestamp":1441215410.867,"Data":"YQ==","PartitionKey":"k\"é\n"}`,
			"bf" + "6e53657175656e63654e756d626572" + "6131" + "781b417070726f78696d6174654172726976616c54696d657374616d70" + "c11b0000014f8f21f2b3" +
				"6444617461" + "4161" + "6c506172746974696f6e4b6579" + "656b22c3a90a" + "ff"},
		{&Record{ApproximateArrivalTimestamp: ptr(aws.Time(5))}, `{"ApproximateArrivalTimestamp":0.005,"Data":""}`, ""},
		{&Record{ApproximateArrivalTimestamp: ptr(aws.Time(-1500))}, `{"ApproximateArrivalTimestamp":-1.500,"Data":""}`, ""},
		{&Record{ApproximateArrivalTimestamp: ptr(aws.Time(-5))}, `{"ApproximateArrivalTimestamp":-0.005,"Data":""}`, ""},
		{&ListStreamsOutput{HasMoreStreams: ptr(false)}, `{"StreamNames":[],"HasMoreStreams":false}`, ""},
		{&ListTagsForStreamOutput{Tags: []Tag{{Key: ptr("a")}}, HasMoreTags: ptr(true)}, `{"Tags":[{"Key":"a"}],"HasMoreTags":true}`, ""},
		{&ListShardsOutput{}, `{}`, "bfff"},
		{&aws.Error{Type: "ResourceNotFoundException", Message: "m"}, `{"__type":"ResourceNotFoundException","message":"m"}`, ""},
		{&aws.Error{Type: "SerializationException", Message: "m"}, `{"__type":"SerializationException","Message":"m"}`, ""},
		{&aws.Error{Type: "SerializationException"}, `{"__type":"SerializationException"}`, ""},
	} {
		if got := string(aws.JSON.Append([]byte("x"), c.out)); got != "x"+c.json {
			t.Errorf("got  %s\nwant x%s", got, c.json)
		}
		if got := hex.EncodeToString(aws.CBOR.Append([]byte("x"), c.out)); c.cbor != "" && got != "78"+c.cbor {
			t.Errorf("%s: got  %s\nwant 78%s", c.json, got, c.cbor)
		}
	}
}

// TestEncodingsSayTheSame reads what both encodings write with other libraries.
func TestEncodingsSayTheSame(t *testing.T) {
	decode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any](), TimeTag: cbor.DecTagIgnored}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		out := &GetRecordsOutput{Records: []Record{}}
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			out.Records = append(out.Records, Record{
				SequenceNumber: ptr(rapid.StringMatching(`[0-9]{0,70}`).Draw(t, "sequence")),
				Data:           rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"),
				PartitionKey:   ptr(rapid.String().Draw(t, "key")),
			})
		}
		out.MillisBehindLatest = ptr(rapid.Int64().Draw(t, "behind"))
		var fromJSON struct {
			Records []struct {
				SequenceNumber, PartitionKey string
				Data                         []byte
			}
			MillisBehindLatest int64
		}
		fromCBOR := fromJSON
		if err := json.Unmarshal(aws.JSON.Append(nil, out), &fromJSON); err != nil {
			t.Fatal(err)
		}
		if err := decode.Unmarshal(aws.CBOR.Append(nil, out), &fromCBOR); err != nil {
			t.Fatal(err)
		}
		if len(fromJSON.Records) != len(out.Records) || !reflect.DeepEqual(fromJSON, fromCBOR) || fromJSON.MillisBehindLatest != *out.MillisBehindLatest {
			t.Fatalf("JSON %+v\nCBOR %+v", fromJSON, fromCBOR)
		}
		for i, r := range fromJSON.Records {
			if r.SequenceNumber != *out.Records[i].SequenceNumber || r.PartitionKey != *out.Records[i].PartitionKey || string(r.Data) != string(out.Records[i].Data) {
				t.Fatalf("record %d: %+v", i, r)
			}
		}
	})
}

func TestLongKeysStayApart(t *testing.T) {
	// Texts are kept in chunks: one must not run into the next.
	var body strings.Builder
	body.WriteString(`{"Records":[`)
	var want []string
	for i := range 500 {
		if i > 0 {
			body.WriteByte(',')
		}
		key := strings.Repeat(string(rune('a'+i%26)), i*3%256+1)
		want = append(want, key)
		body.WriteString(`{"Data":"","PartitionKey":"` + key + `"}`)
	}
	body.WriteString(`]}`)
	var in PutRecordsInput
	if err := aws.JSON.Decode([]byte(body.String()), &in); err != nil {
		t.Fatal(err)
	}
	for i, r := range in.Records {
		if *r.PartitionKey != want[i] {
			t.Fatalf("key %d is %q, want %q", i, *r.PartitionKey, want[i])
		}
	}
}
