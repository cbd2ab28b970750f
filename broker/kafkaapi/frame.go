package kafkaapi

import (
	"bufio"
	"time"
)

// incoming is a connection as its requests come from it.
type incoming struct {
	c  *conn
	br *bufio.Reader
}

// pieceTime is how long each piece of a request may take to arrive, waits of the
// server not counted.
const pieceTime = 30 * time.Second

func (in *incoming) Read(b []byte) (int, error) { return in.br.Read(b) }
func (in *incoming) Piece()                     { in.c.setReadDeadline(pieceTime) }
func (in *incoming) Cut()                       { in.c.close() }
func (in *incoming) Gone() <-chan struct{}      { return in.c.gone }

// Took counts the memory that the connection's requests hold together: what they
// give back makes room for further ones.
func (in *incoming) Took(n int64) {
	in.c.mu.Lock()
	in.c.held += n
	if n < 0 {
		in.c.room.Signal()
	}
	in.c.mu.Unlock()
}
