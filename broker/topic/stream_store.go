package topic

import (
	"encoding/hex"

	"fmt"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/storage"
)

// The document of a stream stands beside that of its topic, for topics of which
// Kinesis has anything to keep.
const (
	streamPrefix     = "stream/"
	streamDocVersion = 1
)

type streamDoc struct {
	V              int               `json:"v"`
	TopicID        string            `json:"topicId"`
	Status         StreamStatus      `json:"status"`
	Mode           StreamMode        `json:"mode"`
	MaxRecordBytes int32             `json:"maxRecordBytes"`
	Shards         []shardDoc        `json:"shards,omitempty"` // of a lineage of its own
	Pending        *pendingDoc       `json:"pending,omitempty"`
	Consumers      []consumerDoc     `json:"consumers,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	Policy         string            `json:"policy,omitempty"`
	KeyID          string            `json:"keyId,omitempty"`
	Encryptions    []int64           `json:"encryptions,omitempty"`
	LastConsumer   int64             `json:"lastConsumer,omitempty"`
	ShardMetrics   []string          `json:"shardMetrics,omitempty"`
	WarmMiBps      int32             `json:"warmMiBps,omitempty"`
	Distribution   string            `json:"distribution,omitempty"`
	Reshards       []int64           `json:"reshards,omitempty"`
	ModeSwitches   []int64           `json:"modeSwitches,omitempty"`
	KeyStarts      []int64           `json:"keyStarts,omitempty"`
	KeyStops       []int64           `json:"keyStops,omitempty"`
}

type shardDoc struct {
	Start     string  `json:"start"` // hash keys in 32 hexadecimal digits
	End       string  `json:"end"`
	Parents   []int32 `json:"parents,omitempty"`
	CreatedAt int64   `json:"createdAt"`
	BeganAt   int64   `json:"beganAt,omitempty"` // where it is not createdAt
	ClosedAt  int64   `json:"closedAt,omitempty"`
	EndOffset int64   `json:"endOffset,omitempty"`
}

type pendingDoc struct {
	At     int64     `json:"at"`
	Delete bool      `json:"delete,omitempty"`
	Steps  []stepDoc `json:"steps,omitempty"`
}

type stepDoc struct {
	Shard int32  `json:"shard"`
	Merge *int32 `json:"merge,omitempty"`
	Split string `json:"split,omitempty"` // the hash key where the second child begins
}

type consumerDoc struct {
	Name      string            `json:"name"`
	CreatedAt int64             `json:"createdAt"`
	Status    StreamStatus      `json:"status"`
	At        int64             `json:"at,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
	Policy    string            `json:"policy,omitempty"`
}

// streamOp keeps the document of t's stream.
func (t *Topic) streamOp() storage.Op {
	s := t.Stream
	doc := streamDoc{
		V: streamDocVersion, TopicID: t.ID.String(), Status: s.Status, Mode: s.Mode, MaxRecordBytes: s.MaxRecordBytes,
		Tags: s.Tags, Policy: s.Policy, KeyID: s.KeyID, Encryptions: s.Encryptions, LastConsumer: s.LastConsumer, ShardMetrics: s.ShardMetrics, WarmMiBps: s.WarmMiBps,
		Distribution: s.Distribution, Reshards: s.Reshards, ModeSwitches: s.ModeSwitches, KeyStarts: s.KeyStarts, KeyStops: s.KeyStops,
	}
	if s.Own {
		doc.Shards = shardDocs(s.Lineage.Shards())
	}
	if p := s.Pending; p != nil {
		doc.Pending = &pendingDoc{At: p.At, Delete: p.Delete}
		for _, st := range p.Steps {
			d := stepDoc{Shard: st.Shard}
			if st.Merge == shard.None {
				d.Split = formatHashKey(st.At)
			} else {
				d.Merge = &st.Merge
			}
			doc.Pending.Steps = append(doc.Pending.Steps, d)
		}
	}
	for _, c := range s.Consumers {
		doc.Consumers = append(doc.Consumers, consumerDoc(c))
	}
	return put(streamPrefix+t.Name, doc)
}

func shardDocs(shards []shard.Shard) []shardDoc {
	out := make([]shardDoc, len(shards))
	for i, sh := range shards {
		d := shardDoc{
			Start: formatHashKey(sh.Range.Start), End: formatHashKey(sh.Range.End),
			CreatedAt: sh.CreatedAt, ClosedAt: sh.ClosedAt, EndOffset: sh.End,
		}
		if sh.BeganAt != sh.CreatedAt {
			d.BeganAt = sh.BeganAt
		}
		for _, p := range [...]int32{sh.Parent, sh.AdjacentParent} {
			if p != shard.None {
				d.Parents = append(d.Parents, p)
			}
		}
		out[i] = d
	}
	return out
}

// readStream reads the document of t's stream into t.
func (t *Topic) readStream(meta storage.Meta) error {
	key := streamPrefix + t.Name
	value, ok, err := meta.Get(key)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if !ok {
		return fmt.Errorf("read %s: it is missing, though the topic says that it is there", key)
	}
	var doc streamDoc
	if err := decode(key, value, &doc, streamDocVersion); err != nil {
		return err
	}
	if doc.TopicID != t.ID.String() {
		return fmt.Errorf("read %s: it does not describe a stream of that topic", key)
	}
	if err := t.Stream.fill(&doc, t.Partitions); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

func (s *Stream) fill(doc *streamDoc, partitions int32) error {
	lineage, own := s.Lineage, len(doc.Shards) > 0
	if own {
		shards, err := readShards(doc.Shards)
		if err != nil {
			return err
		}
		if lineage, err = shard.New(shards); err != nil {
			return err
		}
		if lineage.Len() != partitions {
			return fmt.Errorf("it has %d shards, and the topic %d partitions", lineage.Len(), partitions)
		}
	}
	*s = Stream{
		kept: true, Lineage: lineage, Own: own, Status: doc.Status, Mode: doc.Mode, MaxRecordBytes: doc.MaxRecordBytes,
		Tags: doc.Tags, Policy: doc.Policy, KeyID: doc.KeyID, Encryptions: doc.Encryptions, LastConsumer: doc.LastConsumer, ShardMetrics: doc.ShardMetrics, WarmMiBps: doc.WarmMiBps,
		Distribution: doc.Distribution, Reshards: doc.Reshards, ModeSwitches: doc.ModeSwitches, KeyStarts: doc.KeyStarts, KeyStops: doc.KeyStops,
	}
	for _, c := range doc.Consumers {
		s.Consumers = append(s.Consumers, Consumer(c))
	}
	if doc.Pending == nil {
		return nil
	}
	s.Pending = &PendingChange{At: doc.Pending.At, Delete: doc.Pending.Delete}
	for _, d := range doc.Pending.Steps {
		st := shard.Step{Shard: d.Shard, Merge: shard.None}
		if d.Merge != nil {
			st.Merge = *d.Merge
		} else if err := parseHashKey(d.Split, &st.At); err != nil {
			return err
		}
		s.Pending.Steps = append(s.Pending.Steps, st)
	}
	return nil
}

func readShards(docs []shardDoc) ([]shard.Shard, error) {
	out := make([]shard.Shard, len(docs))
	for i, d := range docs {
		s := shard.Shard{
			Index: int32(i), Parent: shard.None, AdjacentParent: shard.None,
			CreatedAt: d.CreatedAt, BeganAt: d.BeganAt, ClosedAt: d.ClosedAt, End: d.EndOffset,
		}
		if s.BeganAt == 0 {
			s.BeganAt = s.CreatedAt
		}
		if len(d.Parents) > 0 {
			s.Parent = d.Parents[0]
		}
		if len(d.Parents) > 1 {
			s.AdjacentParent = d.Parents[1]
		}
		if err := parseHashKey(d.Start, &s.Range.Start); err != nil {
			return nil, fmt.Errorf("shard %d: %w", i, err)
		}
		if err := parseHashKey(d.End, &s.Range.End); err != nil {
			return nil, fmt.Errorf("shard %d: %w", i, err)
		}
		out[i] = s
	}
	return out, nil
}

func formatHashKey(k shard.HashKey) string { return fmt.Sprintf("%016x%016x", k.Hi, k.Lo) }

func parseHashKey(text string, k *shard.HashKey) error {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 {
		return fmt.Errorf("%q is no hash key", text)
	}
	for i, b := range raw {
		if i < 8 {
			k.Hi = k.Hi<<8 | uint64(b)
		} else {
			k.Lo = k.Lo<<8 | uint64(b)
		}
	}
	return nil
}
