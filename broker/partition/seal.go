package partition

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// SealedError refuses an append of a client's to a partition whose shard is
// closed. The markers of transactions still go in.
type SealedError struct {
	Topic     string
	Partition int32
	// Closed says that the shard is closed for good and has children. Else it is
	// being closed at this moment, which may fail yet: try again.
	Closed bool
	// Open are partitions that take records, in order of their hash keys, and More
	// is how many there are besides.
	Open []int32
	More int
}

// maxNamed bounds the partitions that an error names.
const maxNamed = 20

func (e *SealedError) Error() string {
	if !e.Closed {
		return fmt.Sprintf("partition %s-%d is being closed by a reshard of the stream: try again", e.Topic, e.Partition)
	}
	var names strings.Builder
	for i, p := range e.Open {
		if i > 0 {
			names.WriteString(", ")
		}
		fmt.Fprint(&names, p)
	}
	if e.More > 0 {
		fmt.Fprintf(&names, " and %d more", e.More)
	}
	return fmt.Sprintf("partition %s-%d belongs to a shard that a reshard of the stream has closed: it can be read, but takes no records any more; open are the partitions %s",
		e.Topic, e.Partition, names.String())
}

// Unwrap gives the code for Kafka clients: one that has them try again while
// the shard is being closed.
func (e *SealedError) Unwrap() error {
	if e.Closed {
		return kerr.PolicyViolation
	}
	return kerr.NotLeaderForPartition
}

// Seal refuses what clients append from now on, waits for the appends that are
// under way, and returns the offset after the last record that a client has
// appended. Markers may follow it. A partition stays sealed until Unseal or the
// next start, unless the topic says then that its shard is closed.
func (p *Partition) Seal() (end int64) {
	p.mu.Lock()
	p.sealed = true
	p.mu.Unlock()
	p.drain()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.high
}

// Unseal takes a Seal back.
func (p *Partition) Unseal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sealed = false
}

// Sealed says whether clients append no more.
func (p *Partition) Sealed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sealed
}

// sealedError is the refusal of an append to a sealed partition.
func (p *Partition) sealedError() error {
	t := p.topic.Load()
	e := &SealedError{Topic: t.Name, Partition: p.id.Index}
	if t.Stream == nil || !t.Stream.Closed(p.id.Index) {
		return e
	}
	open := t.Stream.Lineage.Open()
	e.Closed, e.More = true, max(len(open)-maxNamed, 0)
	for _, s := range open[:len(open)-e.More] {
		e.Open = append(e.Open, s.Index)
	}
	return e
}
