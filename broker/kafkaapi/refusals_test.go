package kafkaapi

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDescribeProducersOfABadName(t *testing.T) {
	a := newAdmin(t)
	a.create("x", 1)
	for topic, want := range map[string]string{
		"x": "ok", "none": "UNKNOWN_TOPIC_OR_PARTITION", "": "INVALID_TOPIC_EXCEPTION", "a b": "INVALID_TOPIC_EXCEPTION", "..": "INVALID_TOPIC_EXCEPTION",
	} {
		req := kmsg.NewPtrDescribeProducersRequest()
		req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0}}}
		if got := name(a.ask(0, req).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0].ErrorCode); got != want {
			t.Errorf("%q: %s, want %s", topic, got, want)
		}
	}
}

// Metadata has topic ids from version 10 on, and takes them from 12 on.
func TestMetadataByIDBeforeVersion12(t *testing.T) {
	a := newAdmin(t)
	a.create("x", 1)
	id := a.s.core.Topics.Topic("x").ID
	byName := kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("x")}
	for v := int16(10); v <= 13; v++ {
		for what, topics := range map[string][]kmsg.MetadataRequestTopic{
			"by id":            {{TopicID: id}},
			"by name and id":   {{Topic: kmsg.StringPtr("x"), TopicID: id}},
			"once by name too": {byName, {TopicID: id}},
		} {
			req := kmsg.NewPtrMetadataRequest()
			req.Topics = topics
			r := a.ask(v, req).(*kmsg.MetadataResponse)
			for _, rt := range r.Topics {
				if want := map[bool]string{true: "INVALID_REQUEST", false: "ok"}[v < 12]; name(rt.ErrorCode) != want {
					t.Errorf("%s in version %d: %s, want %s", what, v, name(rt.ErrorCode), want)
				}
			}
			if v < 12 && len(r.Topics) != len(topics) || v >= 12 && len(r.Topics) != 1 {
				t.Errorf("%s in version %d: %d topics", what, v, len(r.Topics))
			}
		}
	}
}

func TestLeaderEpochsBelowNone(t *testing.T) {
	a := newAdmin(t)
	a.create("x", 1)
	for epoch, want := range map[int32]string{-1: "ok", -2: "FENCED_LEADER_EPOCH", -1 << 31: "FENCED_LEADER_EPOCH"} {
		list := kmsg.NewPtrListOffsetsRequest()
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.CurrentLeaderEpoch, lp.Timestamp = epoch, timeLatest
		list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "x", Partitions: []kmsg.ListOffsetsRequestTopicPartition{lp}}}
		if got := name(a.ask(7, list).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode); got != want {
			t.Errorf("ListOffsets, epoch %d: %s, want %s", epoch, got, want)
		}
		end := kmsg.NewPtrOffsetForLeaderEpochRequest()
		ep := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		ep.CurrentLeaderEpoch = epoch
		end.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "x", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{ep}}}
		if got := name(a.ask(4, end).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0].ErrorCode); got != want {
			t.Errorf("OffsetForLeaderEpoch, epoch %d: %s, want %s", epoch, got, want)
		}
	}
}

func TestUnknownIsolationLevels(t *testing.T) {
	b := startGroupBroker(t)
	for _, level := range []int8{-1, 2} {
		for _, v := range []int16{4, 6, 7, 12} {
			req := kmsg.NewPtrFetchRequest()
			req.Version, req.ReplicaID, req.MaxBytes, req.SessionEpoch, req.IsolationLevel = v, -1, 1<<20, -1, level
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic, rt.Partitions = "t", []kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition()}
			req.Topics = append(req.Topics, rt)
			r := ask[*kmsg.FetchResponse](b.dial(t), req, nil)
			code := r.ErrorCode
			if v < 7 {
				code = r.Topics[0].Partitions[0].ErrorCode
			}
			want(t, "fetch", code, kerr.InvalidRequest)
		}
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.ReplicaID, req.IsolationLevel = 7, -1, level
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{kmsg.NewListOffsetsRequestTopicPartition()}}}
		want(t, "list offsets", ask[*kmsg.ListOffsetsResponse](b.dial(t), req, nil).Topics[0].Partitions[0].ErrorCode, kerr.InvalidRequest)
	}
}

// The refusal of an unverified transaction is one sentence, without codes in a row.
func TestVerificationMessage(t *testing.T) {
	msg := errorMessage(verificationError(kerr.NotCoordinator, false, true))
	if msg == nil || strings.Count(*msg, ":") != 1 || !strings.HasSuffix(*msg, ": NOT_COORDINATOR") {
		t.Errorf("%v", msg)
	}
}
