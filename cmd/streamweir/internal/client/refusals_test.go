package client

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// TestFramesHoweverTheyAreCut: what is read along does not depend on how the
// stream is cut into reads.
func TestFramesHoweverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want [][]byte
		for _, body := range rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "bodies") {
			stream = binary.BigEndian.AppendUint32(stream, uint32(4+len(body)))
			stream = append(append(stream, 1, 2, 3, 4), body...)
			want = append(want, body)
		}
		var got [][]byte
		f := frames{
			head:  make([]byte, 0, 8),
			begin: func(head []byte, size int) bool { return true },
			end:   func(_, body []byte) { got = append(got, bytes.Clone(body)) },
		}
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "cut")
			f.feed(stream[:n])
			stream = stream[n:]
		}
		if len(got) != len(want) {
			t.Fatalf("%d frames, want %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("frame %d is %x, want %x", i, got[i], want[i])
			}
		}
	})
}
