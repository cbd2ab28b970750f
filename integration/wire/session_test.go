package wire

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// session is a fetch session (KIP-227) as a client keeps it.
type session struct {
	e       *env
	version int16
	id      int32
	epoch   int32
}

// ask sends the next request of the session.
func (s *session) ask(partitions []kmsg.FetchRequestTopicPartition, forget ...int32) *kmsg.FetchResponse {
	s.e.t.Helper()
	req := harness.At(kmsg.NewPtrFetchRequest(), s.version)
	req.ReplicaID, req.MaxBytes, req.SessionID, req.SessionEpoch = -1, 50<<20, s.id, s.epoch
	if len(partitions) > 0 {
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID, rt.Partitions = s.e.topic, s.e.id, partitions
		req.Topics = append(req.Topics, rt)
	}
	if len(forget) > 0 {
		ft := kmsg.NewFetchRequestForgottenTopic()
		ft.Topic, ft.TopicID, ft.Partitions = s.e.topic, s.e.id, forget
		req.ForgottenTopics = append(req.ForgottenTopics, ft)
	}
	return harness.Ask[*kmsg.FetchResponse](s.e.t, s.e.c, req)
}

// next asks, and checks that the answer has exactly the wanted partitions.
func (s *session) next(what string, partitions []kmsg.FetchRequestTopicPartition, forget []int32, want ...int32) *kmsg.FetchResponse {
	s.e.t.Helper()
	r := s.ask(partitions, forget...)
	if r.ErrorCode != 0 {
		s.e.t.Fatalf("%s: %v", what, kerr.ErrorForCode(r.ErrorCode))
	}
	if s.epoch > 0 && r.SessionID != s.id {
		s.e.t.Fatalf("%s: session %d, want %d", what, r.SessionID, s.id)
	}
	s.id = r.SessionID
	s.epoch++
	var got []int32
	for _, tp := range r.Topics {
		for _, p := range tp.Partitions {
			if p.ErrorCode != 0 {
				s.e.t.Errorf("%s: partition %d: %v", what, p.Partition, kerr.ErrorForCode(p.ErrorCode))
			}
			got = append(got, p.Partition)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.e.t.Errorf("%s: partitions %v, want %v", what, got, want)
	}
	return r
}

func fetchPartitions(ps ...int32) []kmsg.FetchRequestTopicPartition {
	var out []kmsg.FetchRequestTopicPartition
	for _, p := range ps {
		out = append(out, fetchPartition(p, 0))
	}
	return out
}

// A session answers only what changed, follows its partitions' offsets,
// forgets and adds partitions, by name and by topic id.
func TestFetchSession(t *testing.T) {
	for _, v := range []int16{7, 12, 13, 18} {
		t.Run(fmt.Sprintf("v%d", v), func(t *testing.T) {
			e := newEnv(t, 4)
			one := harness.Batch{Records: harness.Values("v")}
			s := &session{e: e, version: v}
			r := s.next("full fetch", fetchPartitions(0, 1, 2), nil, 0, 1, 2)
			if r.SessionID == 0 {
				t.Fatal("no session was made")
			}
			s.next("nothing new", nil, nil)
			e.produce(1, one)
			r = s.next("an append to partition 1", nil, nil, 1)
			if n := len(e.batches(r.Topics[0].Partitions[0])); n != 1 {
				t.Errorf("%d batches", n)
			}
			// The client moves on; then there is nothing new again.
			s.next("partition 1 moves to offset 1", []kmsg.FetchRequestTopicPartition{fetchPartition(1, 1)}, nil)
			e.produce(1, one)
			r = s.next("another append", nil, nil, 1)
			if bs := e.batches(r.Topics[0].Partitions[0]); len(bs) != 1 || bs[0].FirstOffset != 1 {
				t.Errorf("%d batches, not from offset 1", len(bs))
			}
			s.next("partition 1 moves to offset 2", []kmsg.FetchRequestTopicPartition{fetchPartition(1, 2)}, nil)

			e.produce(0, one)
			s.next("partition 0 is forgotten", nil, []int32{0})
			e.produce(3, one)
			s.next("partition 3 is added", fetchPartitions(3), nil, 3)
			s.next("partition 3 moves on", []kmsg.FetchRequestTopicPartition{fetchPartition(3, 1)}, nil)
			e.produce(2, one)
			s.next("partition 2 was there all the time", nil, nil, 2)
		})
	}
}

// A session answers for a partition again when its high watermark or its log
// start has moved, or when there is an error.
func TestFetchSessionTellsOfTheLogStart(t *testing.T) {
	e := newEnv(t, 1)
	e.produce(0, harness.Batch{Records: harness.Values("a", "b")})
	s := &session{e: e, version: 12}
	s.next("full fetch at the end", []kmsg.FetchRequestTopicPartition{fetchPartition(0, 2)}, nil, 0)
	s.next("nothing new", nil, nil)
	if _, err := e.deleteRecords(0, 1); err != nil {
		t.Fatal(err)
	}
	r := s.next("records were deleted", nil, nil, 0)
	if p := r.Topics[0].Partitions[0]; p.LogStartOffset != 1 {
		t.Errorf("log start offset %d, want 1", p.LogStartOffset)
	}
	s.next("nothing new", nil, nil)
}

// Wrong session ids and epochs get their own errors, and the session goes on.
func TestFetchSessionErrors(t *testing.T) {
	e := newEnv(t, 1)
	s := &session{e: e, version: 12}
	s.next("full fetch", fetchPartitions(0), nil, 0)

	wrong := *s
	wrong.epoch = 17
	if r := wrong.ask(nil); r.ErrorCode != kerr.InvalidFetchSessionEpoch.Code {
		t.Errorf("a wrong epoch: %v", kerr.ErrorForCode(r.ErrorCode))
	}
	wrong = *s
	wrong.id = s.id ^ 0x5a5a5a
	if r := wrong.ask(nil); r.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("a wrong id: %v", kerr.ErrorForCode(r.ErrorCode))
	}
	s.next("the session after both", nil, nil)

	// A new full fetch on an old session replaces it.
	replaced := *s
	s.epoch = 0
	r := s.ask(fetchPartitions(0))
	if r.ErrorCode != 0 || r.SessionID == 0 {
		t.Fatalf("a full fetch in place of session %d: session %d, %v", replaced.id, r.SessionID, kerr.ErrorForCode(r.ErrorCode))
	}
	if r.SessionID == replaced.id {
		t.Errorf("the new session has the old one's id %d", r.SessionID)
	}
	if r := replaced.ask(nil); r.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("the replaced session: %v", kerr.ErrorForCode(r.ErrorCode))
	}

	// Epoch -1 ends a session.
	s.id, s.epoch = r.SessionID, -1
	if r := s.ask(fetchPartitions(0)); r.ErrorCode != 0 || r.SessionID != 0 {
		t.Errorf("the last fetch: session %d, %v", r.SessionID, kerr.ErrorForCode(r.ErrorCode))
	}
	s.epoch = 1
	if r := s.ask(nil); r.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("after the end: %v", kerr.ErrorForCode(r.ErrorCode))
	}
}

// A session outlives the deletion of a topic and says what became of it.
func TestFetchSessionOfADeletedTopic(t *testing.T) {
	e := newEnv(t, 1)
	s := &session{e: e, version: 13}
	s.next("full fetch", fetchPartitions(0), nil, 0)
	if _, err := harness.Admin(t, e.s).DeleteTopics(harness.Context(t, harness.Long), e.topic); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Long, "an error for the deleted topic", func() error {
		r := s.ask(nil)
		if r.ErrorCode == kerr.FetchSessionTopicIDError.Code {
			return nil // a session-wide error is as good
		}
		s.epoch++
		if len(r.Topics) == 1 && len(r.Topics[0].Partitions) == 1 {
			if c := r.Topics[0].Partitions[0].ErrorCode; c == kerr.UnknownTopicID.Code || c == kerr.UnknownTopicOrPartition.Code {
				return nil
			}
		}
		return fmt.Errorf("%v, %+v", kerr.ErrorForCode(r.ErrorCode), r.Topics)
	})
}
