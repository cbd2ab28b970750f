package topic

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage"
)

// Whatever is done to a catalogue, also with a store that fails now and then,
// what it shows is what is stored.
func TestCatalogueIsWhatIsStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		meta := newMeta()
		c, err := Open(meta, config.Default(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		known := map[storage.TopicID]*Topic{} // as the watchers know them
		c.Watch(func(ch Change) {
			if ch.Old != nil && known[ch.Old.ID] != ch.Old {
				t.Fatalf("%s changed from what nobody knew", ch.Old.Name)
			}
			if ch.New != nil {
				known[ch.New.ID] = ch.New
			} else {
				delete(known, ch.Old.ID)
			}
		})
		names := rapid.SampledFrom([]string{"a", "b", "a.b", "a_b", ConsumerOffsets, "bad name", ""})
		values := rapid.SampledFrom([]string{"5", "-1", "x", "compact", "delete,compact", ""})
		configs := rapid.SampledFrom([]string{"retention.ms", "cleanup.policy", "log.retention.ms", "log.cleanup.policy", "message.max.bytes", "no.such"})
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
				meta.fail = errors.New("the store fails")
			}
			change := func() ConfigChange {
				value := values.Draw(t, "value")
				return ConfigChange{
					Resource: Resource{Broker: rapid.Bool().Draw(t, "broker"), Name: rapid.SampledFrom([]string{"", "1", "a", "b"}).Draw(t, "resource")},
					Replace:  rapid.Bool().Draw(t, "replace"),
					Ops:      []ConfigOp{{configs.Draw(t, "config"), Op(rapid.IntRange(0, 3).Draw(t, "op")), &value}},
				}
			}
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				n := NewTopic{Name: names.Draw(t, "name"), Partitions: rapid.Int32Range(-1, 3).Draw(t, "partitions"), ReplicationFactor: 1}
				_, _, _ = c.Create([]NewTopic{n, plain(names.Draw(t, "name"))}, rapid.Bool().Draw(t, "validate"))
			case 1:
				_, _ = c.Ensure(names.Draw(t, "name"))
			case 2:
				if all := c.Topics(); len(all) > 0 {
					victim := rapid.SampledFrom(all).Draw(t, "topic")
					deleted, errs, err := c.Delete([]storage.TopicID{victim.ID})
					if err == nil && (errs[0] != nil) != victim.Internal {
						t.Fatalf("deletion of %s: %v", victim.Name, errs[0])
					}
					if err == nil && errs[0] == nil && rapid.Bool().Draw(t, "forget") {
						_ = c.Forget(deleted[0].ID)
					}
				}
			case 3:
				_, _ = c.CreatePartitions([]MorePartitions{{Name: names.Draw(t, "name"), Count: rapid.Int32Range(0, 5).Draw(t, "count")}}, false)
			default:
				_, _ = c.AlterConfigs([]ConfigChange{change(), change()}, rapid.IntRange(0, 3).Draw(t, "validate") == 0)
			}
			meta.fail = nil
			sameAsStored(t, c, meta, known)
		}
	})
}

func sameAsStored(t *rapid.T, c *Catalogue, meta storage.Meta, known map[storage.TopicID]*Topic) {
	again, err := Open(meta, config.Default(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Warnings()) > 0 {
		t.Fatalf("what was stored does not fit: %q", again.Warnings())
	}
	sameTopic := func(a, b *Topic) bool { return reflect.DeepEqual(whole(a), whole(b)) }
	if !slices.EqualFunc(c.Topics(), again.Topics(), sameTopic) {
		t.Fatalf("topics %s, stored %s", list(c.Topics()), list(again.Topics()))
	}
	if !reflect.DeepEqual(c.Config(), again.Config()) {
		t.Fatalf("config %+v, stored %+v", c.Config(), again.Config())
	}
	ids := func(c *Catalogue) map[storage.TopicID]int32 {
		m := map[storage.TopicID]int32{}
		for _, d := range c.Deleting() {
			m[d.ID] = d.Partitions
		}
		return m
	}
	if !maps.Equal(ids(c), ids(again)) {
		t.Fatalf("deleting %v, stored %v", ids(c), ids(again))
	}
	partitions := int64(0)
	for _, topic := range c.Topics() {
		partitions += int64(topic.Partitions)
		if c.Topic(topic.Name) != topic || c.TopicByID(topic.ID) != topic || known[topic.ID] != topic {
			t.Fatalf("%s is not the same everywhere", topic.Name)
		}
	}
	if c.Partitions() != partitions || again.Partitions() != partitions || len(known) != len(c.Topics()) {
		t.Fatalf("%d partitions of %d; %d topics known of %d", c.Partitions(), partitions, len(known), len(c.Topics()))
	}
	if v, w := c.view.Load(), again.view.Load(); !maps.Equal(v.collisions, w.collisions) {
		t.Fatalf("collisions %v, stored %v", v.collisions, w.collisions)
	}
}

func list(ts []*Topic) (out []string) {
	for _, t := range ts {
		out = append(out, fmt.Sprintf("%+v", *t))
	}
	return out
}

func TestReadersSeeWholeChanges(t *testing.T) {
	c := open(t, newMeta())
	mustCreate(t, c, plain("stays"))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c.Topic("stays") == nil {
					t.Error("a topic vanished")
					return
				}
				all := c.Topics()
				if !slices.IsSortedFunc(all, func(a, b *Topic) int { return compareNames(a, b) }) {
					t.Error("out of order")
					return
				}
			}
		})
	}
	for range 200 {
		made := mustCreate(t, c, plain("goes"))
		if _, _, err := c.Delete([]storage.TopicID{made.ID}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
}

func compareNames(a, b *Topic) int {
	if a.Name < b.Name {
		return -1
	}
	return 1
}

func FuzzStoredDocuments(f *testing.F) {
	f.Add(`{"v":1,"name":"orders","id":"0123456789ab4def8123456789abcdef","partitions":3,"configs":{"retention.ms":"1000"},"createdAt":1}`)
	f.Add(`{"v":1,"name":"orders","partitions":3,"deletedAt":5}`)
	f.Add(`{"v":2}`)
	f.Add(`{"v":1,"configs":{"log.retention.ms":"5"}}`)
	f.Fuzz(func(t *testing.T, doc string) {
		for _, key := range []string{"topic/orders", "deleting/0123456789ab4def8123456789abcdef", "config/broker/", "cluster"} {
			meta := newMeta()
			meta.m[key] = []byte(doc)
			c, err := Open(meta, config.Default(), Options{})
			if err != nil {
				continue
			}
			for _, topic := range c.Topics() { // what was taken is written and read again
				op := topic.op()
				back, err := decodeTopic(op.Key, op.Value)
				if err != nil || back.ID != topic.ID || back.Partitions != topic.Partitions || !maps.Equal(back.Configs, topic.Configs) {
					t.Errorf("%+v became %+v, %v", topic, back, err)
				}
			}
		}
	})
}
