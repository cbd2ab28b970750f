package harness

import (
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recorder takes what a check says in place of a test.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.said = append(r.said, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func ledgerRecord(partition int32, offset int64, number uint64) *kgo.Record {
	value := make([]byte, ledgerValue)
	binary.BigEndian.PutUint64(value, number)
	return &kgo.Record{Partition: partition, Offset: offset, Value: value}
}

// The ledger has to see each of the things that it is there to see.
func TestLedgerSeesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong bool
		read  func(l *Ledger)
	}{
		{"all is well", false, func(l *Ledger) {}},
		{"the last record is lost", true, func(l *Ledger) { l.Reread(); sawUpTo(l, 8) }},
		{"a record comes twice", true, func(l *Ledger) { l.Saw(ledgerRecord(0, 3, 3)) }},
		{"a record stands in the log twice", true, func(l *Ledger) { l.Saw(ledgerRecord(0, 10, 9)) }},
		{"a record more than was acknowledged", true, func(l *Ledger) { l.Saw(ledgerRecord(0, 10, 10)) }},
		{"an acknowledgement at another offset", true, func(l *Ledger) { l.ack(ledgerRecord(0, 12, 10), 10, nil) }},
		{"a failed produce", true, func(l *Ledger) { l.ack(ledgerRecord(0, 0, 10), 10, fmt.Errorf("refused")) }},
		{"one that was never acknowledged", true, func(l *Ledger) { l.sent++ }},
		{"a gap, filled later", true, func(l *Ledger) {
			l.Reread()
			sawUpTo(l, 5)
			for _, i := range []int64{7, 6, 8, 9} {
				l.Saw(ledgerRecord(0, i, uint64(i)))
			}
		}},
	} {
		l := NewLedger("t", 1)
		for i := range 10 {
			l.sent++
			l.ack(ledgerRecord(0, int64(i), 0), uint64(i), nil)
		}
		sawUpTo(l, 10)
		c.read(l)
		r := &recorder{}
		l.Check(r, false)
		if (len(r.said) > 0) != c.wrong {
			t.Errorf("%s: said %q", c.name, r.said)
		}
	}
}

func sawUpTo(l *Ledger, n int) {
	for i := range n {
		l.Saw(ledgerRecord(0, int64(i), uint64(i)))
	}
}

// Encoded batches are taken apart to what they were made of.
func TestBatchesRoundTrip(t *testing.T) {
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		b := Batch{Records: Values("a", "bb", "ccc"), Codec: codec}.Encode()
		got, rest, err := Batches(append(append([]byte{}, b...), b[:len(b)-1]...))
		if err != nil || len(got) != 1 || rest != len(b)-1 || got[0].NumRecords != 3 || int(got[0].Attributes) != codec {
			t.Errorf("codec %d: %d batches, %d bytes left, %v", codec, len(got), rest, err)
		}
		b[len(b)-1] ^= 1
		if _, _, err := Batches(b); err == nil {
			t.Errorf("codec %d: a broken batch has a right CRC", codec)
		}
	}
}

// What a server may never write is found in its log, whole.
func TestServerLogFindsCrimes(t *testing.T) {
	for line, crime := range map[string]bool{
		"WARNING: DATA RACE":                      true,
		"panic: runtime error":                    true,
		"fatal error: concurrent map writes":      true,
		`{"level":"error","msg":"a panic: no"}`:   false,
		`{"level":"info","msg":"stopping"}`:       false,
		`{"level":"dpanic","msg":"out of order"}`: true,
	} {
		file, err := os.CreateTemp(t.TempDir(), "log")
		if err != nil {
			t.Fatal(err)
		}
		l := newServerLog(file)
		for _, part := range []string{"before\n" + line[:5], line[5:] + "\n", "after\n"} {
			if _, err := l.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.crime(); (got != "") != crime {
			t.Errorf("%s: %q", line, got)
		}
	}
}
