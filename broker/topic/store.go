package topic

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/streamweir/streamweir/storage"
)

// What the catalogue keeps in storage.Meta: JSON documents, each with the
// version of its form in "v". docs/format-meta.md is their description.
const (
	clusterKey     = "cluster"
	topicPrefix    = "topic/"
	deletingPrefix = "deleting/"
	configPrefix   = "config/broker/" // + node id, or nothing for the cluster's default

	docVersion = 1
	// topicWithStream is the version of a topic's document beside which stands
	// that of its stream: a release without streams must not open it, since it
	// would append to closed shards.
	topicWithStream = 2
)

type clusterDoc struct {
	V         int    `json:"v"`
	ClusterID string `json:"clusterId"`
	CreatedAt int64  `json:"createdAt"`
}

type topicDoc struct {
	V          int               `json:"v"`
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Partitions int32             `json:"partitions"`
	Configs    map[string]string `json:"configs,omitempty"`
	CreatedAt  int64             `json:"createdAt"`
}

type deletingDoc struct {
	V          int    `json:"v"`
	Name       string `json:"name"`
	Partitions int32  `json:"partitions"`
	DeletedAt  int64  `json:"deletedAt"`
}

type configDoc struct {
	V       int               `json:"v"`
	Configs map[string]string `json:"configs"`
}

// decode reads a document and refuses one of a version that this release does
// not know: what it means, only a newer release can tell.
func decode(key string, value []byte, doc any, known int) error {
	var v struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if v.V < docVersion || v.V > known {
		return fmt.Errorf("read %s: its version is %d, this release knows %d: %w", key, v.V, known, storage.ErrVersion)
	}
	if err := json.Unmarshal(value, doc); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

func put(key string, doc any) storage.Op {
	value, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("topic: no JSON for %s: %v", key, err)) // only strings and numbers are in it
	}
	return storage.Op{Key: key, Value: value}
}

func (t *Topic) op() storage.Op {
	version := docVersion
	if t.Stream != nil && t.Stream.kept {
		version = topicWithStream
	}
	return put(topicPrefix+t.Name, topicDoc{version, t.Name, t.ID.String(), t.Partitions, t.Configs, t.CreatedAt.UnixMilli()})
}

func (d *Deletion) op() storage.Op {
	return put(deletingPrefix+d.ID.String(), deletingDoc{docVersion, d.Name, d.Partitions, d.At.UnixMilli()})
}

func configOp(name string, configs map[string]string) storage.Op {
	if len(configs) == 0 {
		return storage.Op{Key: configPrefix + name}
	}
	return put(configPrefix+name, configDoc{docVersion, configs})
}

// decodeTopic reads the document of a topic, and marks the stream as kept where
// it has one of its own.
func decodeTopic(key string, value []byte) (*Topic, error) {
	var doc topicDoc
	if err := decode(key, value, &doc, topicWithStream); err != nil {
		return nil, err
	}
	id, err := parseID(doc.ID)
	if err != nil || doc.Partitions < 1 || topicPrefix+doc.Name != key || CheckName(doc.Name) != nil {
		return nil, fmt.Errorf("read %s: it does not describe a topic of that name", key)
	}
	t := &Topic{
		Name: doc.Name, ID: id, Partitions: doc.Partitions, Configs: doc.Configs,
		Internal: IsInternal(doc.Name), CreatedAt: time.UnixMilli(doc.CreatedAt),
	}
	t.Stream = implicitStream(t)
	if doc.V == topicWithStream {
		if t.Stream == nil {
			return nil, fmt.Errorf("read %s: it has a stream, and its name is that of none", key)
		}
		t.Stream.kept = true
	}
	return t, nil
}

func decodeDeletion(key string, value []byte) (*Deletion, error) {
	var doc deletingDoc
	if err := decode(key, value, &doc, docVersion); err != nil {
		return nil, err
	}
	id, err := parseID(strings.TrimPrefix(key, deletingPrefix))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return &Deletion{ID: id, Name: doc.Name, Partitions: doc.Partitions, At: time.UnixMilli(doc.DeletedAt)}, nil
}

func parseID(text string) (id storage.TopicID, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("%q is no topic id", text)
	}
	copy(id[:], raw)
	return id, nil
}

// newID makes a random UUID. Kafka's tools print ids in base64 and take a
// leading dash for an option, so ids with one are passed over, as Kafka does.
func newID() (id storage.TopicID) {
	for {
		_, _ = rand.Read(id[:]) // never fails
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if FormatID(id)[0] != '-' {
			return id
		}
	}
}

// FormatID is an id in the form in which Kafka's tools print it.
func FormatID(id storage.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
