package kafka

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// everyRequest calls f for each version of each API that is served.
func everyRequest(f func(k Key, version int16)) {
	for k := range served {
		for v := served[k].Min; v <= served[k].Max; v++ {
			f(k, v)
		}
	}
}

func newRequest(k Key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(int16(k))
	req.SetVersion(version)
	return req
}

// fill gives every field of a message a random value: strings and bytes short,
// arrays of a few elements, pointers sometimes nil.
func fill(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			if rng.IntN(4) == 0 {
				v.Addr().Interface().(*kmsg.Tags).Set(uint32(1000+rng.IntN(9)), []byte("unknown"))
			}
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" {
				fill(rng, v.Field(i))
			}
		}
	case reflect.Slice:
		n := rng.IntN(4)
		s := reflect.MakeSlice(v.Type(), n, n)
		for i := range n {
			fill(rng, s.Index(i))
		}
		v.Set(s)
	case reflect.Pointer:
		if rng.IntN(3) > 0 {
			p := reflect.New(v.Type().Elem())
			fill(rng, p.Elem())
			v.Set(p)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rng, v.Index(i))
		}
	case reflect.String:
		v.SetString("strings and more strings"[:rng.IntN(24)])
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rng.Uint64()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(rng.Uint64())
	case reflect.Float64:
		v.SetFloat(rng.Float64())
	default:
		panic("cannot fill " + v.Type().String())
	}
}

func TestKmsgKnowsWhatWeServe(t *testing.T) {
	if len(served) != 37 || len(requestSchemas) != len(served) {
		t.Errorf("%d APIs are served and %d have a schema", len(served), len(requestSchemas))
	}
	for k, r := range served {
		req := kmsg.RequestForKey(int16(k))
		if req == nil {
			t.Errorf("kmsg does not know key %d", k)
			continue
		}
		if req.MaxVersion() < r.Max || r.Min > r.Max {
			t.Errorf("%v is served to version %d, kmsg knows it to %d", k, r.Max, req.MaxVersion())
		}
		if advertised, ok := AdvertisedVersions(k); !ok || advertised.Max != r.Max || advertised.Min != r.Min && k != Produce {
			t.Errorf("%v is advertised as %v and served as %v", k, advertised, r)
		}
	}
	if r, _ := AdvertisedVersions(Produce); r.Min != 0 {
		t.Errorf("Produce is advertised from %d", r.Min)
	}
	if _, ok := AdvertisedVersions(4); ok {
		t.Error("key 4 is advertised")
	}
}

func TestFlexibleVersionsAgreeWithKmsg(t *testing.T) {
	everyRequest(func(k Key, v int16) {
		if want := newRequest(k, v).IsFlexible(); want != (v >= requestSchemas[k].flexible) {
			t.Errorf("%v version %d: kmsg says that flexible is %v", k, v, want)
		}
	})
}

func TestParseHeader(t *testing.T) {
	everyRequest(func(k Key, v int16) {
		for _, id := range []string{"", "a client"} {
			req := newRequest(k, v)
			b := kmsg.NewRequestFormatter(kmsg.FormatterClientID(id)).AppendRequest(nil, req, 77)[4:]
			h, body, err := ParseHeader(b)
			if err != nil {
				t.Fatalf("%v version %d: %v", k, v, err)
			}
			if h.Key != k || h.Version != v || h.CorrelationID != 77 || string(h.ClientID) != id || h.Flexible != req.IsFlexible() {
				t.Errorf("%v version %d: header %+v", k, v, h)
			}
			if !bytes.Equal(body, req.AppendTo(nil)) {
				t.Errorf("%v version %d: the body is %x", k, v, body)
			}
		}
	})
}

func TestParseHeaderHostile(t *testing.T) {
	head := func(k, v int16, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(k))
		b = binary.BigEndian.AppendUint16(b, uint16(v))
		return append(append(b, 0, 0, 0, 9), rest...)
	}
	for name, b := range map[string][]byte{
		"nothing":                       nil,
		"seven bytes":                   make([]byte, 7),
		"no client id":                  head(0, 3),
		"client id beyond the end":      head(0, 3, 0, 5, 'a'),
		"longest client id":             head(0, 3, 0x7f, 0xff, 'a'),
		"no tags":                       head(0, 9, 0xff, 0xff),
		"four thousand million tags":    head(0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"tag beyond the end":            head(0, 9, 0xff, 0xff, 1, 0, 9),
		"tag count of six bytes":        head(0, 9, 0xff, 0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
		"more tags than there are":      head(0, 9, 0xff, 0xff, 2, 0, 0),
		"tag whose size has five bytes": head(0, 9, 0xff, 0xff, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
	} {
		if _, _, err := ParseHeader(b); !errors.Is(err, ErrMalformedRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h, body, err := ParseHeader(head(0, 9, 0xff, 0xff, 2, 0, 1, 'x', 5, 0, 42)); err != nil || h.ClientID != nil || !bytes.Equal(body, []byte{42}) {
		t.Errorf("tags are not passed over: %v %v %v", h, body, err)
	}
	for _, c := range []struct{ k, v int16 }{{0, 2}, {0, 14}, {0, -1}, {4, 0}, {-1, 0}, {94, 0}, {18, 5}, {1, 3}} {
		_, _, err := ParseHeader(head(c.k, c.v))
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) || unsupported.CorrelationID != 9 || unsupported.Key != Key(c.k) {
			t.Errorf("key %d version %d: %v", c.k, c.v, err)
		}
	}
}

// The guard's table and kmsg must agree on where everything lies, or the guard
// guards nothing.
func TestRequestsPassTheGuard(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	everyRequest(func(k Key, v int16) {
		for range 60 {
			req := newRequest(k, v)
			fill(rng, reflect.ValueOf(req).Elem())
			body := req.AppendTo(nil)
			w := walker{b: body, version: v, flexible: req.IsFlexible()}
			w.group(requestSchemas[k].fields)
			if w.bad || len(w.b) > 0 {
				t.Fatalf("%v version %d: the walk ends with bad=%v and %d of %d bytes left\n%+v", k, v, w.bad, len(w.b), len(body), req)
			}
			got, err := DecodeRequest(RequestHeader{Key: k, Version: v}, body)
			if err != nil {
				t.Fatalf("%v version %d: %v", k, v, err)
			}
			if !bytes.Equal(got.AppendTo(nil), body) {
				t.Fatalf("%v version %d: decoded and encoded it is another", k, v)
			}
			for range 3 { // and one that is cut must not pass and then fail to be guarded
				cut := body[:rng.IntN(len(body)+1)]
				_, _ = DecodeRequest(RequestHeader{Key: k, Version: v}, cut)
			}
		}
	})
}

// Left to itself, kmsg counts through these tags for minutes.
func TestTagBombIsRefusedAtOnce(t *testing.T) {
	tags := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	everyRequest(func(k Key, v int16) {
		req := newRequest(k, v)
		if !req.IsFlexible() {
			return
		}
		body := req.AppendTo(nil)
		body = append(body[:len(body)-1], tags...) // the last byte is the tag count 0
		begin := time.Now()
		_, err := DecodeRequest(RequestHeader{Key: k, Version: v}, body)
		if !errors.Is(err, ErrMalformedRequest) {
			t.Errorf("%v version %d: %v", k, v, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%v version %d: refused after %v", k, v, took)
		}
	})
}

// Left to itself, kmsg allocates over a gigabyte for these 16 MB.
// TestStringsFitIntoRecords: a longer id was acknowledged, and what was written
// of it could not be read back.
func TestStringsFitIntoRecords(t *testing.T) {
	for n, fits := range map[int]bool{math.MaxInt16: true, math.MaxInt16 + 1: false, 1<<16 + 1: false} {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version = 4
		req.TransactionalID = kmsg.StringPtr(strings.Repeat("x", n))
		if _, err := Measure(RequestHeader{Key: Key(req.Key()), Version: req.Version}, req.AppendTo(nil)); (err == nil) != fits || err != nil && !errors.Is(err, ErrMalformedRequest) {
			t.Errorf("a transactional id of %d bytes: %v", n, err)
		}
	}
}

func TestArrayBombIsRefused(t *testing.T) {
	const size = 16 << 20
	body := make([]byte, size)
	copy(body, binary.AppendUvarint([]byte{0}, size/2)) // Metadata version 9: as many topics
	body[0] = 0
	body = append(binary.AppendUvarint(nil, size/2), body...)
	var err error
	got := allocatedBytes(func() {
		_, err = DecodeRequest(RequestHeader{Key: Metadata, Version: 9}, body)
	})
	if !errors.Is(err, ErrMalformedRequest) || got > 1<<20 {
		t.Errorf("%d bytes allocated, error %v", got, err)
	}
}

// Null passes where the schema of the version allows it, and nowhere else: kmsg
// would read such an array as empty.
func TestNullIsRefusedWhereItCannotBe(t *testing.T) {
	for _, c := range []struct {
		what    string
		k       Key
		v       int16
		body    string
		allowed bool
	}{
		{"topics of Metadata", Metadata, 0, "ffffffff", false},
		{"topics of Metadata", Metadata, 1, "ffffffff", true},
		{"a negative count of topics of Metadata", Metadata, 1, "fffffff0", true},
		{"topics of Metadata", Metadata, 9, "00 00 00 00 00", true},
		{"name of a topic of Metadata", Metadata, 9, "02 00 00 00 00 00 00", false},
		{"name of a topic of Metadata", Metadata, 10, "02 00000000000000000000000000000000 00 00 00 00 00 00", true},
		{"topics of OffsetFetch", OffsetFetch, 1, "0001 67 ffffffff", false},
		{"topics of OffsetFetch", OffsetFetch, 2, "0001 67 ffffffff", true},
		{"groups of DeleteGroups", DeleteGroups, 1, "ffffffff", false},
		{"a negative count of groups of DeleteGroups", DeleteGroups, 1, "fffffffe", false},
		{"groups of DeleteGroups", DeleteGroups, 2, "00 00", false},
		{"a group of DeleteGroups", DeleteGroups, 1, "00000001 ffff", false},
		{"no groups of DeleteGroups", DeleteGroups, 2, "01 00", true},
		{"transactional id and topics of Produce", Produce, 3, "ffff 0001 00000000 ffffffff", false},
		{"transactional id of Produce", Produce, 3, "ffff 0001 00000000 00000000", true},
	} {
		body, err := hex.DecodeString(strings.ReplaceAll(c.body, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodeRequest(RequestHeader{Key: c.k, Version: c.v}, body)
		if c.allowed && err != nil || !c.allowed && !errors.Is(err, ErrMalformedRequest) {
			t.Errorf("null for %s, version %d: %v", c.what, c.v, err)
		}
	}
}

func TestTooManyElementsAreRefused(t *testing.T) {
	arrays := append(binary.BigEndian.AppendUint32(nil, MaxRequestElements+1), make([]byte, 4*MaxRequestElements+100)...)
	tags := newRequest(Metadata, 9).AppendTo(nil)
	tags = binary.AppendUvarint(tags[:len(tags)-1], MaxRequestElements+1)
	for i := range MaxRequestElements + 1 {
		tags = append(binary.AppendUvarint(tags, uint64(1000+i)), 0)
	}
	for name, c := range map[string]struct {
		version int16
		body    []byte
	}{"array": {1, arrays}, "tags": {9, tags}} {
		var err error
		got := allocatedBytes(func() {
			_, err = DecodeRequest(RequestHeader{Key: Metadata, Version: c.version}, c.body)
		})
		if !errors.Is(err, ErrMalformedRequest) || got > 1<<20 {
			t.Errorf("%s: %d bytes allocated, error %v", name, got, err)
		}
	}
}

func TestResponseHeaders(t *testing.T) {
	everyRequest(func(k Key, v int16) {
		resp := newRequest(k, v).ResponseKind()
		got := AppendResponseHeader([]byte("x"), 0x01020304, resp)
		want := []byte("x\x01\x02\x03\x04")
		if v >= requestSchemas[k].flexible && k != APIVersions {
			want = append(want, 0)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v version %d: header %x", k, v, got)
		}
	})
}

func TestUnsupportedAPIVersionsIsReadableInVersion0(t *testing.T) {
	b := AppendUnsupportedAPIVersions(nil, 5)
	if id := binary.BigEndian.Uint32(b); id != 5 {
		t.Errorf("correlation id %d", id)
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := resp.ReadFrom(b[4:]); err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != 35 || fmt.Sprint(resp.ApiKeys[0].ApiKey, resp.ApiKeys[0].MinVersion, resp.ApiKeys[0].MaxVersion) != "18 0 4" {
		t.Errorf("got %+v", resp)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, b[4:]) {
		t.Errorf("bytes follow the version 0 body: %x", b)
	}
}
