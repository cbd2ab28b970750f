package format

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func sample() *kgo.Record {
	return &kgo.Record{
		Topic: "orders", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1700000000123),
		Key: []byte("k1"), Value: []byte("hello"),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}},
	}
}

func TestTemplate(t *testing.T) {
	null := sample()
	null.Key, null.Value = nil, nil
	for _, c := range []struct {
		layout string
		record *kgo.Record
		opts   TemplateOptions
		want   string
	}{
		{`%t[%p]@%o`, sample(), TemplateOptions{}, "orders[3]@42"},
		{`%k(%K)=%s(%S)\n`, sample(), TemplateOptions{}, "k1(2)=hello(5)\n"},
		{`%T %D`, sample(), TemplateOptions{}, "1700000000123 2023-11-14T22:13:20.123Z"},
		{`%h`, sample(), TemplateOptions{}, "a=1,b="},
		{`%h`, sample(), TemplateOptions{ShowNull: true}, "a=1,b=NULL"},
		{`%R%s`, sample(), TemplateOptions{}, "\x00\x00\x00\x05hello"},
		{`%R`, null, TemplateOptions{}, "\xff\xff\xff\xff"},
		{`%k|%K|%s|%S`, null, TemplateOptions{}, "|-1||-1"},
		{`%k|%s`, null, TemplateOptions{ShowNull: true}, "NULL|NULL"},
		{`100%%\t\x41\x4a\x7\0\\é`, sample(), TemplateOptions{}, "100%\tAJ\x07\x00\\é"},
		{``, sample(), TemplateOptions{}, ""},
	} {
		tpl, err := Parse(c.layout)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.layout, err)
			continue
		}
		if got := string(tpl.Append(nil, c.record, c.opts)); got != c.want {
			t.Errorf("%q gives %q, want %q", c.layout, got, c.want)
		}
	}
	for _, layout := range []string{`%`, `abc%`, `%q`, `%é`, `\`, `\q`, `\x`, `\xg1`} {
		if _, err := Parse(layout); err == nil {
			t.Errorf("Parse(%q) succeeded", layout)
		}
	}
}

func TestJSONKeepsEveryByte(t *testing.T) {
	for name, r := range map[string]*kgo.Record{
		"text":            sample(),
		"null":            {Topic: "t", Timestamp: time.UnixMilli(0)},
		"empty":           {Topic: "t", Key: []byte{}, Value: []byte{}, Timestamp: time.UnixMilli(1)},
		"binary":          {Topic: "t", Key: []byte{0xff}, Value: []byte{0, 0xc3, 0x28}, Timestamp: time.UnixMilli(1)},
		"replacement":     {Topic: "t", Value: []byte("\ufffd\u2028\x00\x1f\x7f\"\\/<>&😀"), Timestamp: time.UnixMilli(1)},
		"binary header":   {Topic: "t", Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "\xff", Value: []byte{0xfe}}, {}}, Timestamp: time.UnixMilli(1)},
		"surrogate bytes": {Topic: "t", Value: []byte("\xed\xa0\x80"), Timestamp: time.UnixMilli(1)},
	} {
		line := AppendJSON(nil, r)
		got, err := ParseJSON(line)
		if err != nil {
			t.Errorf("%s: %v in %s", name, err, line)
			continue
		}
		checkSame(t, name, &got.Record, r)
	}
}

func checkSame(t *testing.T, name string, got, want *kgo.Record) {
	t.Helper()
	same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	if got.Topic != want.Topic || got.Partition != want.Partition || !got.Timestamp.Equal(want.Timestamp) {
		t.Errorf("%s: got %+v, want %+v", name, got, want)
	}
	if !same(got.Key, want.Key) || !same(got.Value, want.Value) {
		t.Errorf("%s: key %q value %q, want %q %q", name, got.Key, got.Value, want.Key, want.Value)
	}
	if len(got.Headers) != len(want.Headers) {
		t.Fatalf("%s: %d headers, want %d", name, len(got.Headers), len(want.Headers))
	}
	for i, h := range got.Headers {
		if h.Key != want.Headers[i].Key || !same(h.Value, want.Headers[i].Value) {
			t.Errorf("%s: header %q=%q, want %q=%q", name, h.Key, h.Value, want.Headers[i].Key, want.Headers[i].Value)
		}
	}
}

func TestJSONShape(t *testing.T) {
	r := sample()
	r.Value = []byte{0xff, 0x00}
	const want = `{"topic":"orders","partition":3,"offset":42,"timestamp":1700000000123,"timestamp_type":"create",` +
		`"key":"k1","value":"/wA=","value_encoding":"base64","headers":[{"key":"a","value":"1"},{"key":"b","value":null}]}` + "\n"
	if got := string(AppendJSON(nil, r)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestParseJSON(t *testing.T) {
	for line, want := range map[string]kgo.Record{
		`{"value":"v"}`:                    {Value: []byte("v")},
		`{"value":null,"key":"k"}`:         {Key: []byte("k")},
		`{"value":{"a": [1,2]},"key":7}`:   {Key: []byte("7"), Value: []byte(`{"a": [1,2]}`)},
		`{"value":"\ud83d\ude00 \\ud800"}`: {Value: []byte(`😀 \ud800`)},
		`{"value":"x","timestamp":-1}`:     {Value: []byte("x")},
		` {"value":"x","headers":null} `:   {Value: []byte("x")},
	} {
		got, err := ParseJSON([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		checkSame(t, line, &got.Record, &want)
	}
	for line, want := range map[string]string{
		``:                                      "the JSON object is not complete; write one object per line",
		`{"key":"k"}`:                           `the field "value" is missing; write "value":null for a record without one`,
		`"x"`:                                   "it must be a JSON object",
		`{"value":"x","key`:                     "the JSON object is not complete; write one object per line",
		`{"value":"x"} {"value":"y"}`:           "something follows the JSON object; write one object per line",
		`{"vlaue":"x"}`:                         `the field "vlaue" is not known`,
		`{"value":"\ud800"}`:                    `value: a \u escape is half of a surrogate pair, which no UTF-8 text can hold`,
		`{"value":"\udc00\ud800"}`:              `value: a \u escape is half of a surrogate pair, which no UTF-8 text can hold`,
		`{"value":"x","value_encoding":"z"}`:    `value: the encoding "z" is not known; there is only "base64"`,
		`{"value":1,"value_encoding":"base64"}`: "value: base64 must be a string",
		`{"value":"x","partition":"a"}`:         `the field "partition" must be a whole number, not "a"`,
		`{"value":"x","partition":-1}`:          "partition -1 is outside 0 to 2147483647",
		`{"value":"x","timestamp":-2}`:          "timestamp -2 is outside -1 to 9223372036854775807",
		`{"value":"x","headers":[{}]}`:          `header 1: the field "key" is missing`,
		`{"value":"x","headers":{}}`:            `the field "headers" must be an array, not {}`,
		`{"value":"x","topic":5}`:               `the field "topic" must be a string, not 5`,
		`{"value":tru}`:                         "it is not valid JSON at byte 13: invalid character '}' in literal true (expecting 'e')",
		"{\"value\":\"\xff\"}":                  "it is not valid UTF-8",
	} {
		_, err := ParseJSON([]byte(line))
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`%t %p %o %k %K %s %S %R %h %T %D %%\n\x00`)
	f.Add(`\`)
	f.Fuzz(func(t *testing.T, layout string) {
		tpl, err := Parse(layout)
		if err != nil {
			return
		}
		tpl.Append(nil, sample(), TemplateOptions{ShowNull: true})
		// Text that is quoted as a literal must come out as it went in.
		quoted, err := Parse(Literal(layout))
		if err != nil {
			t.Fatalf("Literal(%q): %v", layout, err)
		}
		if got := string(quoted.Append(nil, sample(), TemplateOptions{})); got != layout {
			t.Fatalf("Literal(%q) prints %q", layout, got)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"topic":"t","partition":1,"offset":2,"timestamp":3,"timestamp_type":"create","key":"k","value":"/w==","value_encoding":"base64","headers":[{"key":"a","value":null}]}`))
	f.Add([]byte(`{"value":{"a":"\ud800"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		rec, err := ParseJSON(line)
		if err != nil {
			return
		}
		compareWithStandard(t, line, rec)
		if rec.Record.Timestamp.IsZero() {
			rec.Record.Timestamp = time.UnixMilli(0)
		}
		again, err := ParseJSON(AppendJSON(nil, &rec.Record))
		if err != nil {
			t.Fatalf("%q was read but not what was written of it: %v", line, err)
		}
		checkSame(t, string(line), &again.Record, &rec.Record)
	})
}

// compareWithStandard checks the value against what encoding/json makes of it.
func compareWithStandard(t *testing.T, line []byte, rec JSONRecord) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatalf("%q was read, but encoding/json says %v", line, err)
	}
	raw := fields["value"]
	want := []byte(raw)
	switch {
	case string(raw) == "null":
		want = nil
	case len(raw) > 0 && raw[0] == '"' && string(fields["value_encoding"]) == `"base64"`:
		want = nonNil(nil)
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%q: base64: %v", line, err)
		}
	case len(raw) > 0 && raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		want = []byte(s)
	}
	// The name of the encoding may be written with escapes, which the
	// comparison above does not look for.
	if !bytes.Contains(fields["value_encoding"], []byte(`\`)) && !bytes.Equal(rec.Record.Value, want) {
		t.Fatalf("%q: value %q, want %q", line, rec.Record.Value, want)
	}
}

func FuzzJSONRoundTrip(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), "h", []byte("x"))
	f.Add([]byte{0xff}, []byte("\u2028\\\"\x00"), "", []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte, header string, hv []byte) {
		r := &kgo.Record{Topic: "t", Key: key, Value: value, Timestamp: time.UnixMilli(5), Headers: []kgo.RecordHeader{{Key: header, Value: hv}}}
		line := AppendJSON(nil, r)
		if !json.Valid(line) {
			t.Fatalf("not JSON: %q", line)
		}
		got, err := ParseJSON(line)
		if err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		checkSame(t, "round trip", &got.Record, r)
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	r := sample()
	r.Value = bytes.Repeat([]byte("x"), 1000)
	buf := AppendJSON(nil, r)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], r)
	}
}

func BenchmarkParseJSON(b *testing.B) {
	line := AppendJSON(nil, sample())
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseJSON(line); err != nil {
			b.Fatal(err)
		}
	}
}
