package produce

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// readAll divides an input and returns the values, and the errors as text.
func readAll(t *testing.T, in string, oneByte bool, blockBytes int, p Parsing) (values, failures []string) {
	t.Helper()
	r := &reader{
		in: strings.NewReader(in), parse: &p, blockBytes: blockBytes, consumed: func(int) {},
		failed: func(e *RecordError) bool {
			failures = append(failures, e.Error())
			return true
		},
	}
	if oneByte {
		r.in = iotest.OneByteReader(r.in)
	}
	var records []kgo.Record
	if err := r.run(func(rec kgo.Record, _ Origin) bool {
		records = append(records, rec)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	// The values are looked at last: a block that was written twice shows.
	for _, rec := range records {
		values = append(values, string(rec.Value))
	}
	return values, failures
}

func plain(delimiter string, limit int) Parsing {
	return Parsing{Format: Lines, Delimiter: []byte(delimiter), Partition: AnyPartition, Demands: Demands{MaxRecordBytes: limit, MaxBefore: -1, MaxAfter: -1}}
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
	r := &reader{in: strings.NewReader("a\nb\nc\n"), parse: &p, blockBytes: 64, consumed: func(int) {}}
	if err := r.run(func(kgo.Record, Origin) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("%d records, %v; want 2 and no error", n, err)
	}
}

func TestReadErrorsNameTheInput(t *testing.T) {
	p := plain("\n", 100)
	broken := errors.New("disk on fire")
	r := &reader{in: iotest.ErrReader(broken), name: "orders.log", parse: &p, blockBytes: 64, consumed: func(int) {}}
	err := r.run(func(kgo.Record, Origin) bool { return true })
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

func TestProgressLine(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := &Progress{Total: 100 << 20, Started: start, Buffered: func() int64 { return 5 << 20 }}
	p.Read.Store(55 << 20)
	p.Acked.Store(1234567)
	for width, want := range map[int]string{
		200: " 50%  [============            ]  50.0 MiB of 100 MiB  5.00 MiB/s  ETA 0:10  1,234,567 acknowledged",
		70:  " 50%  [============            ]  50.0 MiB of 100 MiB  5.00 MiB/s",
		10:  " 50%  [============            ]",
	} {
		if got := p.line(start.Add(10*time.Second), width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	p.Total = -1
	p.Failed.Store(2)
	if got, want := p.line(start.Add(10*time.Second), 200), "50.0 MiB  5.00 MiB/s  0:10  1,234,567 acknowledged, 2 failed"; got != want {
		t.Errorf("without a total: %q, want %q", got, want)
	}
}

func TestSentence(t *testing.T) {
	for want, s := range map[string]Summary{
		"1 record acknowledged (5 B in 2.0 s, 2 B/s)":                                                                           {Acknowledged: 1, Bytes: 5, Seconds: 2},
		"0 records acknowledged (0 B in 0.0 s, 0 B/s), 3 failed":                                                                {Failed: 3},
		"2 records acknowledged (8 B in 1.0 s, 8 B/s), 4 without an answer: they may or may not have been written, interrupted": {Acknowledged: 2, Bytes: 8, Seconds: 1, Unknown: 4, Interrupted: true},
	} {
		if got := s.Sentence(AcksAll); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	in := bytes.Repeat([]byte("0123456789 abcdefghijklmnopqrstuvwxyz 0123456789 abcdefghijklmnopqrstuvwxyz 0123456789\n"), 20000)
	p := plain("\n", 1<<20)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		r := &reader{in: bytes.NewReader(in), parse: &p, blockBytes: blockSize, consumed: func(int) {}}
		if err := r.run(func(kgo.Record, Origin) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}
