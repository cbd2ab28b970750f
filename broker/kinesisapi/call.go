package kinesisapi

import (
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net/http"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/aws"
)

// Call is a request on its way to its response.
type Call struct {
	Action    string
	RequestID string
	// Codec is the encoding of the request, and so of its answer.
	Codec  aws.Codec
	Caller Identity

	s      *Server
	conn   *conn // that it came on
	remote string
	body   memory.Request
	done   []func()
}

// after calls f when the answer was sent, or there will be none.
func (c *Call) after(f func()) { c.done = append(c.done, f) }

// release ends a call.
func (c *Call) release() {
	c.body.Release()
	for _, f := range c.done {
		f()
	}
}

// newCall gives a request its id and tells the client.
func (s *Server) newCall(w http.ResponseWriter, r *http.Request) *Call {
	var b [16 + 48]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[6], b[8] = b[6]&15|0x40, b[8]&63|0x80 // a random UUID
	id := hex.EncodeToString(b[:16])
	id = id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	// Spelled as AWS spells them, which Header.Set would not.
	w.Header()["x-amzn-RequestId"] = []string{id}
	w.Header()["x-amz-id-2"] = []string{base64.StdEncoding.EncodeToString(b[16:])}
	return &Call{s: s, conn: connOf(r.Context()), remote: r.RemoteAddr, RequestID: id}
}
