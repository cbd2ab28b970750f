package kafka

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// splice puts the record bytes where AppendFetchResponse left them out.
func splice(t testing.TB, out []byte, cuts []int, records [][]byte) []byte {
	t.Helper()
	if len(cuts) != len(records) {
		t.Fatalf("%d cuts for %d partitions", len(cuts), len(records))
	}
	var whole []byte
	at := 0
	for i, cut := range cuts {
		if cut < at {
			t.Fatalf("cut %d is at %d, before the one at %d", i, cut, at)
		}
		whole = append(append(whole, out[at:cut]...), records[i]...)
		at = cut
	}
	return append(whole, out[at:]...)
}

func recordsOf(resp *kmsg.FetchResponse) (records [][]byte, sizes []int) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			b := resp.Topics[i].Partitions[j].RecordBatches
			records = append(records, b)
			if b == nil {
				sizes = append(sizes, NoRecords)
			} else {
				sizes = append(sizes, len(b))
			}
		}
	}
	return records, sizes
}

// defaultSome gives the tagged structures of some partitions their defaults, as
// most responses have them.
func defaultSome(rng *rand.Rand, resp *kmsg.FetchResponse) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			if rng.IntN(2) == 0 {
				p.DivergingEpoch = kmsg.NewFetchResponseTopicPartitionDivergingEpoch()
			}
			if rng.IntN(2) == 0 {
				p.CurrentLeader = kmsg.NewFetchResponseTopicPartitionCurrentLeader()
			}
			if rng.IntN(2) == 0 {
				p.SnapshotID = kmsg.NewFetchResponseTopicPartitionSnapshotID()
			}
			switch rng.IntN(4) {
			case 0:
				p.RecordBatches = nil
			case 1:
				p.RecordBatches = []byte{}
			case 2:
				p.RecordBatches = bytes.Repeat([]byte{7}, rng.IntN(40_000))
			}
			if rng.IntN(2) == 0 {
				p.AbortedTransactions = nil
			}
		}
	}
}

func TestFetchResponseIsAsKmsgEncodesIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for version := int16(4); version <= 18; version++ {
		for range 150 {
			resp := kmsg.NewPtrFetchResponse()
			fill(rng, reflect.ValueOf(resp).Elem())
			resp.Version = version
			defaultSome(rng, resp)
			records, sizes := recordsOf(resp)
			prefix := []byte("header")
			want := resp.AppendTo(bytes.Clone(prefix))

			for i := range resp.Topics { // it must not look at them
				for j := range resp.Topics[i].Partitions {
					resp.Topics[i].Partitions[j].RecordBatches = nil
				}
			}
			out, cuts := AppendFetchResponse(bytes.Clone(prefix), resp, sizes)
			if got := splice(t, out, cuts, records); !bytes.Equal(got, want) {
				t.Fatalf("version %d:\n got %x\nwant %x\n%+v", version, got, want, resp)
			}
		}
	}
}
