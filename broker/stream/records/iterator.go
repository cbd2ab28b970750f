package records

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/storage"
)

// A shard iterator is a place in a shard and the time at which it was given out,
// sealed with a key of this broker's: clients can neither read nor make one.
//
//	8 bytes    version, 1, in the clear
//	24 bytes   nonce, in the clear
//	8 bytes    when it was given out, in ms
//	16 bytes   topic id
//	4 bytes    shard
//	8 bytes    offset
//	the rest   name of the stream, for messages
//	16 bytes   tag (XChaCha20-Poly1305)
//
// Integers are big-endian, and all is base64. The nonce is random: with 24 bytes
// that is safe for any number of iterators.
type iterator struct {
	at     int64
	topic  storage.TopicID
	shard  int32
	offset int64
	name   string
}

const (
	iteratorVersion = 1
	iteratorPrefix  = 8
	iteratorFixed   = 8 + 16 + 4 + 8
	// iteratorLife is how long an iterator can be used.
	iteratorLife = 5 * time.Minute
)

// iteratorKeyName is where the metadata has the key, of 32 bytes.
const iteratorKeyName = "kinesis/iterator-key"

// iteratorKey reads the key of iterators, which the first start makes.
func iteratorKey(meta storage.Meta) ([]byte, error) {
	key, ok, err := meta.Get(iteratorKeyName)
	if err != nil {
		return nil, fmt.Errorf("read the key of shard iterators: %w", err)
	}
	if ok {
		return key, nil
	}
	key = make([]byte, chacha20poly1305.KeySize)
	rand.Read(key) // never fails
	if err := meta.Apply(storage.Op{Key: iteratorKeyName, Value: key}); err != nil {
		return nil, fmt.Errorf("keep the key of shard iterators: %w", err)
	}
	return key, nil
}

// sealer seals and opens iterators.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("take up the key of shard iterators: %w", err)
	}
	return &sealer{aead}, nil
}

func (s *sealer) seal(it iterator) string {
	head := iteratorPrefix + chacha20poly1305.NonceSizeX
	b := make([]byte, head, head+iteratorFixed+len(it.name)+s.aead.Overhead())
	binary.BigEndian.PutUint64(b, iteratorVersion)
	rand.Read(b[iteratorPrefix:head])
	plain := make([]byte, 0, iteratorFixed+len(it.name))
	plain = binary.BigEndian.AppendUint64(plain, uint64(it.at))
	plain = append(plain, it.topic[:]...)
	plain = binary.BigEndian.AppendUint32(plain, uint32(it.shard))
	plain = binary.BigEndian.AppendUint64(plain, uint64(it.offset))
	plain = append(plain, it.name...)
	return base64.StdEncoding.EncodeToString(s.aead.Seal(b, b[iteratorPrefix:head], plain, b[:iteratorPrefix]))
}

var errIterator = errors.New("not a shard iterator of this broker's")

func (s *sealer) open(text string) (it iterator, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	head := iteratorPrefix + chacha20poly1305.NonceSizeX
	// The decoder passes over line breaks; an iterator is as it was given out.
	if err != nil || len(b) < head || strings.ContainsAny(text, "\r\n") {
		return it, errIterator
	}
	plain, err := s.aead.Open(b[head:head], b[iteratorPrefix:head], b[head:], b[:iteratorPrefix])
	if err != nil || len(plain) < iteratorFixed || binary.BigEndian.Uint64(b) != iteratorVersion {
		return it, errIterator
	}
	it.at = int64(binary.BigEndian.Uint64(plain))
	copy(it.topic[:], plain[8:])
	it.shard = int32(binary.BigEndian.Uint32(plain[24:]))
	it.offset = int64(binary.BigEndian.Uint64(plain[28:]))
	it.name = string(plain[iteratorFixed:])
	return it, nil
}

// Iterator is an opened shard iterator.
type Iterator struct {
	Shard  Shard
	Offset int64
}

// GetIterator gives out an iterator. GetShardIterator has its own rate.
func (m *Manager) GetIterator(sh Shard, at Position) (string, error) {
	if !m.quotas.Stream(sh.Topic.ID, sh.Topic.Name).Shard(sh.Index).Iterator(unlimited(sh.Topic)) {
		return "", m.tooFast(sh.Index, sh.Topic.Name)
	}
	offset, err := m.Locate(sh, at, "GetShardIterator")
	if err != nil {
		return "", err
	}
	return m.next(sh, offset), nil
}

// next is a new iterator at offset.
func (m *Manager) next(sh Shard, offset int64) string {
	return m.iterators.seal(iterator{m.clock.Now().UnixMilli(), sh.Topic.ID, sh.Index, offset, sh.Topic.Name})
}

// awsTime is how AWS writes times in messages.
const awsTime = "Mon Jan 02 15:04:05 UTC 2006"

// OpenIterator checks an iterator that a client has brought.
func (m *Manager) OpenIterator(text string) (Iterator, error) {
	it, err := m.iterators.open(text)
	if err != nil {
		return Iterator{}, stream.Errorf(stream.InvalidArgument, "Invalid ShardIterator.")
	}
	if now := m.clock.Now(); now.UnixMilli()-it.at > iteratorLife.Milliseconds() {
		return Iterator{}, stream.Errorf(stream.ExpiredIterator, "Iterator expired. The iterator was created at time %s while right now it is %s "+
			"which is further in the future than the tolerated delay of %d milliseconds.",
			time.UnixMilli(it.at).UTC().Format(awsTime), now.UTC().Format(awsTime), iteratorLife.Milliseconds())
	}
	t := m.topics.TopicByID(it.topic)
	if t == nil || t.Stream == nil {
		return Iterator{}, m.noShard(it.shard, it.name)
	}
	sh, err := m.shard(t, it.shard)
	if err != nil {
		return Iterator{}, err
	}
	return Iterator{sh, it.offset}, nil
}
