package input

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kgo"
)

// readAll divides an input and returns the values, and the errors as text.
func readAll(t *testing.T, in string, oneByte bool, blockBytes int, p Parsing) (values, failures []string) {
	t.Helper()
	var records []kgo.Record
	r := &reader{in: strings.NewReader(in), parse: &p, blockBytes: blockBytes, sink: Sink{
		Record: func(rec kgo.Record, _ Origin) bool {
			records = append(records, rec)
			return true
		},
		Failed: func(e *RecordError) bool {
			failures = append(failures, e.Error())
			return true
		},
		Consumed: func(int) {},
	}}
	if oneByte {
		r.in = iotest.OneByteReader(r.in)
	}
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	// The values are looked at last: a block that was written twice shows.
	for _, rec := range records {
		values = append(values, string(rec.Value))
	}
	return values, failures
}

var errTooLarge = errors.New("too large")

// counting is a sink that takes no more than most records; 0 is any number.
func counting(n *int, most int) Sink {
	return Sink{Record: func(kgo.Record, Origin) bool { *n++; return *n != most }, Consumed: func(int) {}}
}

func plain(delimiter string, limit int) Parsing {
	return Parsing{Format: Lines, Delimiter: []byte(delimiter), Partition: AnyPartition,
		MaxRecordBytes: limit, TooLarge: func() error { return errTooLarge },
		Check: func(rec *kgo.Record) error {
			if len(rec.Value) > limit {
				return errTooLarge
			}
			return nil
		}}
}

// split is what the reader must do, said simply.
func split(in, delimiter string, limit int) (values []string, tooLong int) {
	lines := strings.Split(in, delimiter)
	if lines[len(lines)-1] == "" { // nothing follows the last delimiter
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		if len(line) > limit {
			tooLong++
			continue
		}
		values = append(values, line)
	}
	return values, tooLong
}

func TestLinesTooLongAreSkipped(t *testing.T) {
	in := "a\n" + strings.Repeat("b", 300) + "\nc\n" + strings.Repeat("d", 5000) + "\n" + strings.Repeat("e", 100) + "\nf"
	values, failures := readAll(t, in, false, 64, plain("\n", 100))
	if fmt.Sprint(values) != fmt.Sprint([]string{"a", "c", strings.Repeat("e", 100), "f"}) {
		t.Errorf("values %q", values)
	}
	if len(failures) != 2 || !strings.HasPrefix(failures[0], "line 2: ") || !strings.HasPrefix(failures[1], "line 4: ") {
		t.Errorf("failures %q", failures)
	}
}

func TestReadingStopsWhenToldTo(t *testing.T) {
	p := plain("\n", 100)
	n := 0
	r := &reader{in: strings.NewReader("a\nb\nc\n"), parse: &p, blockBytes: 64, sink: counting(&n, 2)}
	if err := r.run(); err != nil || n != 2 {
		t.Errorf("%d records, %v; want 2 and no error", n, err)
	}
}

func TestReadErrorsNameTheInput(t *testing.T) {
	p := plain("\n", 100)
	n, broken := 0, errors.New("disk on fire")
	r := &reader{in: iotest.ErrReader(broken), name: "orders.log", parse: &p, blockBytes: 64, sink: counting(&n, 0)}
	err := r.run()
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "read orders.log: ") {
		t.Errorf("error %v", err)
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a\nbb\n\nccc", "\n", uint8(3), uint8(1), true)
	f.Add("a||b|||c|", "||", uint8(40), uint8(7), false)
	f.Add(strings.Repeat("xyz", 100), "zx", uint8(1), uint8(2), false)
	f.Fuzz(func(t *testing.T, in, delimiter string, limit, block uint8, oneByte bool) {
		if delimiter == "" || len(delimiter) > 50 {
			return
		}
		// A block holds more than a delimiter, as in earnest.
		blockBytes := len(delimiter) + 1 + int(block)
		want, tooLong := split(in, delimiter, int(limit))
		got, failures := readAll(t, in, oneByte, blockBytes, plain(delimiter, int(limit)))
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) || len(failures) != tooLong {
			t.Fatalf("in %q by %q, limit %d, block %d:\ngot  %q and %d failures\nwant %q and %d", in, delimiter, limit, blockBytes, got, len(failures), want, tooLong)
		}
	})
}

func BenchmarkLines(b *testing.B) {
	in := bytes.Repeat([]byte("0123456789 abcdefghijklmnopqrstuvwxyz 0123456789 abcdefghijklmnopqrstuvwxyz 0123456789\n"), 20000)
	p := plain("\n", 1<<20)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		r := &reader{in: bytes.NewReader(in), parse: &p, blockBytes: blockSize, sink: counting(&n, 0)}
		if err := r.run(); err != nil {
			b.Fatal(err)
		}
	}
}
