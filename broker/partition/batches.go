package partition

import (
	"encoding/binary"
	"fmt"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// firstPiece and largestPiece are how many bytes of a plan are read at a time:
// few at first, since the caller may need no more than a batch or two.
const (
	firstPiece   = 64 << 10
	largestPiece = 1 << 20
)

// Batches hands out the batches of a plan one by one, each of them whole. It
// holds one piece of the plan, or one batch where that is larger.
type Batches struct {
	r     *Reader
	piece int
	bufs  [][]byte       // what r lent and is still to be handed out
	cut   *memory.Buffer // holds a batch that came in several pieces
}

// NewBatches begins to read a plan. The caller calls Close.
func NewBatches(plan Plan) *Batches {
	return &Batches{r: NewReader(plan), piece: firstPiece}
}

// Next returns the next batch, valid until the call after, or Close; nil at the
// plan's end. An error means that the rest cannot be had any more, as with
// Reader.Next: another plan says why, or has it.
func (b *Batches) Next() (kafka.Batch, error) {
	b.dropCut()
	for len(b.bufs) > 0 && len(b.bufs[0]) == 0 {
		b.bufs = b.bufs[1:]
	}
	if len(b.bufs) == 0 {
		if err := b.more(); err != nil || len(b.bufs) == 0 {
			return nil, err
		}
	}
	head := b.bufs[0]
	if len(head) >= kafka.BatchHeaderSize {
		if size := int(kafka.Batch(head).Length()) + batchPrefix; size <= len(head) {
			b.bufs[0] = head[size:]
			return kafka.Batch(head[:size:size]), nil
		}
	}
	return b.join()
}

// more reads the next piece.
func (b *Batches) more() error {
	bufs, err := b.r.Next(b.piece)
	b.piece = min(2*b.piece, largestPiece)
	b.bufs = bufs
	return err
}

// join puts a batch together of which the piece in hand has only a part.
func (b *Batches) join() (kafka.Batch, error) {
	var length [batchPrefix]byte
	n := 0
	for {
		got := copy(length[n:], b.bufs[0])
		n += got
		b.bufs[0] = b.bufs[0][got:]
		if n == batchPrefix {
			break
		}
		if err := b.refill(); err != nil {
			return nil, err
		}
	}
	size := int(binary.BigEndian.Uint32(length[8:])) + batchPrefix
	if size < kafka.BatchHeaderSize || size > batchPrefix+b.r.Left()+b.inHand() {
		return nil, fmt.Errorf("a batch of %d bytes in %s, of which %d are left: %w", size, b.r.p.id, b.r.Left(), storage.ErrOutOfRange)
	}
	b.cut = memory.NewBuffer(size)
	copy(b.cut.B, length[:])
	for {
		got := copy(b.cut.B[n:], b.bufs[0])
		n += got
		b.bufs[0] = b.bufs[0][got:]
		if n == size {
			return kafka.Batch(b.cut.B), nil
		}
		if err := b.refill(); err != nil {
			return nil, err
		}
	}
}

// refill makes sure that there are bytes in hand.
func (b *Batches) refill() error {
	for len(b.bufs) > 0 && len(b.bufs[0]) == 0 {
		b.bufs = b.bufs[1:]
	}
	if len(b.bufs) > 0 {
		return nil
	}
	if err := b.more(); err != nil {
		return err
	}
	if len(b.bufs) == 0 {
		return fmt.Errorf("the plan of %s ends within a batch: %w", b.r.p.id, storage.ErrOutOfRange)
	}
	return nil
}

func (b *Batches) inHand() int {
	n := 0
	for _, p := range b.bufs {
		n += len(p)
	}
	return n
}

func (b *Batches) dropCut() {
	if b.cut != nil {
		b.cut.Release()
		b.cut = nil
	}
}

// Close lets go of the batches, and of the plan.
func (b *Batches) Close() {
	b.dropCut()
	b.bufs = nil
	b.r.Close()
	b.r.plan.Release()
}
