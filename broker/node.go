package broker

import (
	"encoding/binary"
	"fmt"

	"github.com/streamweir/streamweir/storage"
)

// keyNode holds the id of the broker whose data this is, 4 bytes big-endian:
// what meta.properties says in Apache Kafka.
const keyNode = "broker/node-id"

// claim takes a new store for this broker, and refuses one that belongs to
// another: clients know the partitions by their broker's id, and its configs are
// kept under it.
func claim(meta storage.Meta, id int32, dir string) error {
	value, ok, err := meta.Get(keyNode)
	if err != nil {
		return fmt.Errorf("read whose data this is: %w", err)
	}
	if !ok {
		err := meta.Apply(storage.Op{Key: keyNode, Value: binary.BigEndian.AppendUint32(nil, uint32(id))})
		if err != nil {
			return fmt.Errorf("keep whose data this is: %w", err)
		}
		return nil
	}
	if len(value) != 4 {
		return fmt.Errorf("read whose data this is: %d bytes where 4 should be", len(value))
	}
	if owner := int32(binary.BigEndian.Uint32(value)); owner != id {
		return fmt.Errorf("node.id is %d, but the data directory %s belongs to node %d: set node.id to %d or use another data.dir", id, dir, owner, owner)
	}
	return nil
}
