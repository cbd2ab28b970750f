package aws

import (
	"bytes"
	"encoding/base64"
	"testing"

	"pgregory.net/rapid"
)

// TestBase64 holds decodeBase64 to the standard library's strict decoder, which
// differs in that it passes over line breaks.
func TestBase64(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 3*base64Step).Draw(t, "data")
		text := []byte(base64.StdEncoding.EncodeToString(data))
		if rapid.Bool().Draw(t, "wrong") && len(text) > 0 {
			at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			text[at] = rapid.SampledFrom([]byte("=\n\r-_ A/\xff")).Draw(t, "with")
		}
		want, err := strict.DecodeString(string(text))
		valid := err == nil && !bytes.ContainsAny(text, "\r\n")
		in := bytes.Clone(text)
		n, from := new(jsonDecoder).decodeBase64(in)
		if ok := from == len(text); ok != valid {
			t.Fatalf("%q: decoded %v, want %v (%v)", text, ok, valid, err)
		}
		if valid && !bytes.Equal(in[:n], want) {
			t.Fatalf("%q: got %x", text, in[:n])
		}
		if whole := base64.StdEncoding.EncodeToString(in[:n]) + string(in[from:]); whole != string(text) {
			t.Fatalf("%q: %q is left", text, whole)
		}
	})
}
