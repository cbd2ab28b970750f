package broker

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/streamweir/streamweir/storage"
)

// ProducerIDs gives out producer ids, each once. It reserves them in blocks, so
// that one write serves many; what a restart leaves of a block is not used.
type ProducerIDs struct {
	meta storage.Meta

	mu   sync.Mutex
	next int64
	end  int64 // of the reserved block
}

const (
	// keyProducerIDs holds the first id that is not reserved, 8 bytes big-endian.
	keyProducerIDs  = "broker/producer-ids"
	producerIDBlock = 1000 // as Kafka's
)

// Next returns a producer id that was never given out before.
func (p *ProducerIDs) Next() (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == p.end {
		if err := p.reserve(); err != nil {
			return -1, fmt.Errorf("reserve producer ids: %w", err)
		}
	}
	p.next++
	return p.next - 1, nil
}

func (p *ProducerIDs) reserve() error {
	value, ok, err := p.meta.Get(keyProducerIDs)
	if err != nil {
		return err
	}
	first := int64(0)
	if ok {
		if len(value) != 8 {
			return fmt.Errorf("%d bytes where 8 should be", len(value))
		}
		first = int64(binary.BigEndian.Uint64(value))
	}
	end := first + producerIDBlock
	err = p.meta.Apply(storage.Op{Key: keyProducerIDs, Value: binary.BigEndian.AppendUint64(nil, uint64(end))})
	if err != nil {
		return err
	}
	p.next, p.end = first, end
	return nil
}
