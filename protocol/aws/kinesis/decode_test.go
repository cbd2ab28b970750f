package kinesis

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/protocol/aws"
)

func ptr[T any](v T) *T { return &v }

// TestWrongTypesInJSON holds SerializationException to AWS's words.
func TestWrongTypesInJSON(t *testing.T) {
	const number, text, boolean = "class com.amazon.coral.value.json.numbers.TruncatingBigNumber", "class java.lang.String", "class java.lang.Boolean"
	const list, object = "Start of list found where not expected", "Start of structure or map found where not expected."
	for _, c := range []struct {
		in         aws.Input
		body, want string // an empty want is an error without a message
	}{
		{&PutRecordInput{}, `{"StreamName":1}`, number + " can not be converted to an String"},
		{&PutRecordInput{}, `{"StreamName":true}`, boolean + " can not be converted to an String"},
		{&PutRecordInput{}, `{"StreamName":[]}`, list},
		{&PutRecordInput{}, `{"StreamName":{}}`, object},
		{&CreateStreamInput{}, `{"ShardCount":"1"}`, text + " can not be converted to an Integer"},
		{&CreateStreamInput{}, `{"ShardCount":false}`, boolean + " can not be converted to an Integer"},
		{&PutRecordInput{}, `{"DryRun":1}`, number + " can not be converted to an Boolean"},
		{&ListShardsInput{}, `{"StreamCreationTimestamp":"now"}`, text + " can not be converted to milliseconds since epoch"},
		{&PutRecordInput{}, `{"Data":1}`, number + " can not be converted to a Blob"},
		{&PutRecordInput{}, `{"Data":"abc"}`, "'abc' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 3"},
		{&PutRecordInput{}, `{"Data":"ab-="}`, "'ab-=' can not be converted to a Blob: Invalid Base64 character: '-'"},
		{&PutRecordInput{}, `{"Data":"a=bc"}`, "'a=bc' can not be converted to a Blob: Invalid Base64 character: '='"},
		{&PutRecordInput{}, `{"Data":"YWJj\n\n\n\n"}`, "'YWJj\n\n\n\n' can not be converted to a Blob: Invalid Base64 character: '\n'"},
		{&PutRecordInput{}, `{"Data":"ab=="}`, "'ab==' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"},
		{&PutRecordsInput{}, `{"Records":"a"}`, "Expected list or null"},
		{&PutRecordsInput{}, `{"Records":{}}`, object},
		{&PutRecordsInput{}, `{"Records":[[]]}`, list},
		{&PutRecordsInput{}, `{"Records":[1]}`, "Expected map or null"},
		{&AddTagsToStreamInput{}, `{"Tags":"a"}`, "Expected map or null"},
		{&AddTagsToStreamInput{}, `{"Tags":{"a":1}}`, number + " can not be converted to an String"},
		{&PutRecordInput{}, ``, ""},
		{&PutRecordInput{}, `[]`, ""},
		{&PutRecordInput{}, `null`, ""},
		{&PutRecordInput{}, `{`, ""},
		{&PutRecordInput{}, `{} {}`, ""},
		{&PutRecordInput{}, `{}x`, ""},
		{&PutRecordInput{}, `{"StreamName":"a",}`, ""},
		{&PutRecordInput{}, `{"StreamName":"a" "Data":""}`, ""},
		{&PutRecordInput{}, `{"StreamName":nul}`, ""},
		{&PutRecordInput{}, `{"StreamName":}`, ""},
		{&PutRecordInput{}, "{\"StreamName\":\"\xff\"}", ""},
		{&PutRecordInput{}, "{\"\xff\":1}", ""},
		{&PutRecordsInput{}, `{"Records":[{},]}`, ""},
		{&PutRecordsInput{}, `{"Records":[{}{}]}`, ""},
		{&PutRecordsInput{}, `{"Records":[,{}]}`, ""},
		{&CreateStreamInput{}, `{"ShardCount":-}`, ""},
		{&CreateStreamInput{}, `{"ShardCount":01}`, ""},
		{&PutRecordsInput{}, `{"Other":` + strings.Repeat("[", 100000) + `}`, ""},
		{&PutRecordsInput{}, `{"Records":[` + strings.Repeat("{},", 1<<17) + `{}]}`, ""}, // takes much more memory than it has bytes
	} {
		body := c.body
		if len(body) > 100 {
			body = body[:100]
		}
		err := aws.JSON.Decode([]byte(c.body), c.in)
		if err == nil {
			t.Errorf("%s: decoded", body)
			continue
		}
		if err.Type != "SerializationException" || err.Message != c.want {
			t.Errorf("%s: %s %q, want %q", body, err.Type, err.Message, c.want)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	big := strings.Repeat("QUJD", 1000) // decoded in steps
	for _, c := range []struct {
		body      string
		got, want aws.Input
	}{
		{`{"Records":[{"Data":"YQ==","PartitionKey":"k\u00e9\n","ExplicitHashKey":null},{"Data":"","PartitionKey":""}],"StreamName":"s","New":{"a":[1,{}]}}`,
			&PutRecordsInput{}, &PutRecordsInput{StreamName: ptr("s"), Records: []PutRecordsRequestEntry{
				{Data: []byte("a"), PartitionKey: ptr("ké\n")}, {Data: []byte{}, PartitionKey: ptr("")},
			}}},
		{`{"Data":"\u0059W\/h"}`, &PutRecordInput{}, &PutRecordInput{Data: []byte("ao\xe1")}},
		{`{"Data":"` + big + `"}`, &PutRecordInput{}, &PutRecordInput{Data: []byte(strings.Repeat("ABC", 1000))}},
		{` { "ShardCount" : 2.9 , "StreamName" : "s" } `, &CreateStreamInput{}, &CreateStreamInput{StreamName: ptr("s"), ShardCount: ptr(int32(2))}},
		{`{"ShardCount":1e10}`, &CreateStreamInput{}, &CreateStreamInput{ShardCount: ptr(int32(2147483647))}},
		{`{"ShardCount":-99999999999999999999}`, &CreateStreamInput{}, &CreateStreamInput{ShardCount: ptr(int32(-2147483648))}},
		{`{"StreamCreationTimestamp":1441215410.867}`, &ListShardsInput{}, &ListShardsInput{StreamCreationTimestamp: ptr(aws.Time(1441215410867))}},
		{`{"StreamCreationTimestamp":1.441215410867E9}`, &ListShardsInput{}, &ListShardsInput{StreamCreationTimestamp: ptr(aws.Time(1441215410867))}},
		{`{"StreamCreationTimestamp":1441215410}`, &ListShardsInput{}, &ListShardsInput{StreamCreationTimestamp: ptr(aws.Time(1441215410000))}},
		{`{"Tags":{"a":"1","b":""},"StreamName":"s"}`, &AddTagsToStreamInput{}, &AddTagsToStreamInput{StreamName: ptr("s"), Tags: map[string]string{"a": "1", "b": ""}}},
		{`{"TagKeys":["a","b"]}`, &RemoveTagsFromStreamInput{}, &RemoveTagsFromStreamInput{TagKeys: []string{"a", "b"}}},
		{`{"ShardFilter":{"Type":"AT_LATEST"},"ShardFilter":null}`, &ListShardsInput{}, &ListShardsInput{}},
		{`{"ShardFilter":{"Type":"AT_LATEST"},"DryRun":true}`, &ListShardsInput{}, &ListShardsInput{ShardFilter: &ShardFilter{Type: ptr("AT_LATEST")}}},
		{`{"DryRun":true,"Data":null}`, &PutRecordInput{}, &PutRecordInput{DryRun: ptr(true)}},
	} {
		if err := aws.JSON.Decode([]byte(c.body), c.got); err != nil {
			t.Errorf("%s: %v", c.body, err)
		} else if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %+v", c.body, c.got)
		}
	}
}

// TestDecodeCBOR has what AWS's SDK for Java sends (maps and lists without a length,
// long texts in chunks, timestamps with a tag) and what others may.
func TestDecodeCBOR(t *testing.T) {
	for _, c := range []struct {
		name, body string // hexadecimal
		got, want  aws.Input
	}{
		{"PutRecords as Java sends it",
			"bf" + "675265636f726473" + "9f" + "bf" + "6444617461" + "4161" + "6c506172746974696f6e4b6579" + "616b" + "ff" + "ff" + "6a53747265616d4e616d65" + "6173" + "ff",
			&PutRecordsInput{}, &PutRecordsInput{StreamName: ptr("s"), Records: []PutRecordsRequestEntry{{Data: []byte("a"), PartitionKey: ptr("k")}}}},
		{"with lengths",
			"a2" + "675265636f726473" + "81" + "a2" + "6444617461" + "40" + "6c506172746974696f6e4b6579" + "60" + "6a53747265616d4e616d65" + "780173",
			&PutRecordsInput{}, &PutRecordsInput{StreamName: ptr("s"), Records: []PutRecordsRequestEntry{{Data: []byte{}, PartitionKey: ptr("")}}}},
		{"texts and blobs in chunks", "bf" + "7f6453747265" + "66616d4e616d65ff" + "7f61736174ff" + "6444617461" + "5f41614162ff" + "ff",
			&PutRecordInput{}, &PutRecordInput{StreamName: ptr("st"), Data: []byte("ab")}},
		{"a timestamp as Java sends it", "bf" + "7753747265616d4372656174696f6e54696d657374616d70" + "c11b0000014f8f1d2b33" + "ff",
			&ListShardsInput{}, &ListShardsInput{StreamCreationTimestamp: ptr(aws.Time(0x14f8f1d2b33))}},
		{"a timestamp as a float", "bf" + "7753747265616d4372656174696f6e54696d657374616d70" + "fb4274f8f1d2b33000" + "ff",
			&ListShardsInput{}, &ListShardsInput{StreamCreationTimestamp: ptr(aws.Time(0x14f8f1d2b33))}},
		{"numbers", "a2" + "6a5368617264436f756e74" + "38ff" + "724d61785265636f726453697a65496e4b6942" + "f93e00",
			&CreateStreamInput{}, &CreateStreamInput{ShardCount: ptr(int32(-256)), MaxRecordSizeInKiB: ptr(int32(1))}},
		{"a large number", "a1" + "6a5368617264436f756e74" + "1bffffffffffffffff",
			&CreateStreamInput{}, &CreateStreamInput{ShardCount: ptr(int32(2147483647))}},
		{"a small number", "a1" + "6a5368617264436f756e74" + "3bffffffffffffffff",
			&CreateStreamInput{}, &CreateStreamInput{ShardCount: ptr(int32(-2147483648))}},
		{"nulls", "a3" + "6a5368617264436f756e74" + "f6" + "6a53747265616d4e616d65" + "f7" + "6454616773" + "f6",
			&CreateStreamInput{}, &CreateStreamInput{}},
		{"what is not known", "bf" + "63587878" + "9f01bf6161f5ffc24101ff" + "6a5368617264436f756e74" + "02" + "ff",
			&CreateStreamInput{}, &CreateStreamInput{ShardCount: ptr(int32(2))}},
		{"a map", "a1" + "6454616773" + "a16161" + "6162",
			&CreateStreamInput{}, &CreateStreamInput{Tags: map[string]string{"a": "b"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := hex.DecodeString(c.body)
			if err != nil {
				t.Fatal(err)
			}
			if err := aws.CBOR.Decode(body, c.got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.got, c.want) {
				t.Errorf("got %+v", c.got)
			}
		})
	}
}

func TestWrongCBOR(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"empty":                   {"", ""},
		"a list":                  {"80", ""},
		"something after it":      {"a000", ""},
		"cut off":                 {"bf6a5368617264436f756e74", ""},
		"a key that is no text":   {"a10102", ""},
		"a key that is no UTF-8":  {"a161ff01", ""},
		"a text that is no UTF-8": {"a16a53747265616d4e616d6561ff", ""},
		"a chunk in a chunk":      {"bf6a53747265616d4e616d657f7f6161ffffff", ""},
		"a chunk of another type": {"bf6a53747265616d4e616d657f4161ffff", ""},
		"a reserved length":       {"a16a53747265616d4e616d657c", ""},
		"a break where none is":   {"a16a53747265616d4e616d65ff", ""},
		"a long length":           {"a16a53747265616d4e616d657bffffffffffffffff", ""},
		"a long map":              {"bbffffffffffffffff", ""},
		"a simple value":          {"a16a53747265616d4e616d65f810", ""},
		"a number for a text":     {"a16a53747265616d4e616d6501", "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String"},
		"bytes for a text":        {"a16a53747265616d4e616d654161", "class java.nio.HeapByteBuffer can not be converted to an String"},
		"a text for a number":     {"a16a5368617264436f756e746131", "class java.lang.String can not be converted to an Integer"},
		"a list for a number":     {"a16a5368617264436f756e7480", "Start of list found where not expected"},
		"deep":                    {"a16158" + strings.Repeat("81", 100000), ""},
		"deep tags":               {"a16158" + strings.Repeat("c1", 100000) + "01", ""},
	} {
		body, err := hex.DecodeString(c.body)
		if err != nil {
			t.Fatal(err)
		}
		got := aws.CBOR.Decode(body, &CreateStreamInput{})
		if got == nil || got.Type != "SerializationException" || got.Message != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
