package kafkaapi

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// filling fills requests with elements that come to nothing.
type filling struct {
	widths []int // elements of an array, by how deep it lies
	name   string
}

func (f *filling) fill(v reflect.Value, depth, i int) {
	switch v.Kind() {
	case reflect.Struct:
		for n := range v.NumField() {
			if name := v.Type().Field(n).Name; name != "Version" && name != "UnknownTags" {
				f.fill(v.Field(n), depth, i)
			}
		}
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth, i)
		}
	case reflect.String:
		v.SetString(fmt.Sprint(f.name, i))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		n := 1
		if depth < len(f.widths) {
			n = f.widths[depth]
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i), depth+1, i)
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(int8(i)))
	}
}

// sizes adds up memory, what is shared once.
type sizes struct {
	seen  map[unsafe.Pointer]bool
	total int64
}

func (s *sizes) first(p unsafe.Pointer) bool {
	again := p == nil || s.seen[p]
	s.seen[p] = true
	return !again
}

func (s *sizes) add(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			s.add(v.Field(i))
		}
	case reflect.String:
		if v.Len() > 0 && s.first(unsafe.Pointer(unsafe.StringData(v.String()))) {
			s.total += int64(v.Len())
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Kind() == reflect.Pointer && (!s.first(v.UnsafePointer()) || v.Type() == reflect.TypeFor[*Server]()) {
			return
		}
		s.total += int64(v.Elem().Type().Size())
		s.add(v.Elem())
	case reflect.Slice:
		if v.Cap() == 0 || !s.first(v.UnsafePointer()) {
			return
		}
		s.total += int64(v.Cap()) * int64(v.Type().Elem().Size())
		for i := range v.Len() {
			s.add(v.Index(i))
		}
	}
}

// answerTo lets the handler answer a body, and returns what all of it takes.
func answerTo(t *testing.T, s *Server, h kafka.RequestHeader, body []byte) (measured kafka.Measured, takes int64) {
	t.Helper()
	measured, err := kafka.Measure(h, body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := measured.Decode()
	if err != nil {
		t.Fatal(err)
	}
	size := sizes{seen: map[unsafe.Pointer]bool{}}
	c := silent(t, s)
	c.listener = &listener{host: "broker.example"}
	k := &call{c: c, key: h.Key, version: h.Version, req: req}
	size.add(reflect.ValueOf(req))
	c.push(k)
	handlers[h.Key](s, k)
	if c.first(&vector{c: c}) != k {
		t.Fatal("not answered")
	}
	size.total += int64(unsafe.Sizeof(*k))
	if k.stream != nil {
		if k.stream.prepare != nil {
			k.stream = k.stream.prepare()
		}
		size.add(reflect.ValueOf(k.stream.resp))
		size.total += int64(cap(k.stream.plans)) * int64(unsafe.Sizeof(k.stream.plans[0])+unsafe.Sizeof(fetchPart{})+unsafe.Sizeof(fetchPlan{}))
		frame, _ := kafka.AppendFetchResponse(nil, k.stream.resp, make([]int, len(k.stream.plans)))
		return measured, size.total + int64(cap(frame))
	}
	size.add(reflect.ValueOf(k.resp))
	return measured, size.total + int64(cap(k.resp.AppendTo(nil)))
}

func TestAnswersNeedNoMoreThanIsTaken(t *testing.T) {
	const lots = 1000
	_, s := serve(t)
	for key, handle := range handlers {
		key := kafka.Key(key)
		if handle == nil || key == kafka.JoinGroup || key == kafka.SyncGroup {
			continue
		}
		versions, _ := kafka.ServedVersions(key)
		for _, version := range []int16{versions.Min, (versions.Min + versions.Max) / 2, versions.Max} {
			for _, f := range []filling{
				{nil, "!"}, {[]int{lots}, "!"}, {[]int{1, lots}, "!"}, {[]int{1, 1, lots}, "!"}, {[]int{lots}, strings.Repeat("!", 240)},
			} {
				req := kmsg.RequestForKey(int16(key))
				req.SetVersion(version)
				f.fill(reflect.ValueOf(req).Elem(), 0, 0)
				switch r := req.(type) {
				case *kmsg.ProduceRequest:
					r.Acks = -1
				}
				what, takes := answerTo(t, s, kafka.RequestHeader{Key: key, Version: version}, req.AppendTo(nil))
				if mayBeLarge(key, &what) {
					continue // bounded otherwise
				}
				if need := answerNeeds(key, &what); takes > need {
					t.Errorf("%v version %d with %d elements (%v) takes %d, and %d was expected", key, version, what.Elements, f.widths, takes, need)
				} else if what.Elements > lots/2 {
					t.Logf("%v version %d with %d elements takes %.0f%% of %d", key, version, what.Elements, 100*float64(takes)/float64(need), need)
				}
			}
		}
	}
}
