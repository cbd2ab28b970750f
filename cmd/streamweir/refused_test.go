package main

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuseBatches answers Produce with an error and what the broker says of it.
func (f *fake) refuseBatches(err *kerr.Error, message string, records map[int32]string) *atomic.Int32 {
	var calls atomic.Int32
	f.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		calls.Add(1)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.(*kmsg.ProduceRequest).Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode, p.ErrorMessage = rp.Partition, err.Code, kmsg.StringPtr(message)
				for i, text := range records {
					rec := kmsg.NewProduceResponseTopicPartitionErrorRecord()
					rec.RelativeOffset, rec.ErrorMessage = i, kmsg.StringPtr(text)
					p.ErrorRecords = append(p.ErrorRecords, rec)
				}
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
	return &calls
}

// TestProduceNamesTheGuiltyRecord: the others of its batch were named as bad too.
func TestProduceNamesTheGuiltyRecord(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.refuseBatches(kerr.InvalidRecord, "1 records are refused", map[int32]string{2: "it smells"})
	r := f.call("a\nb\nc\nd\ne\n", "produce", "t")
	if r.status != exitFailed {
		t.Errorf("status %d", r.status)
	}
	for _, want := range []string{"line 3: it smells (INVALID_RECORD)\n", "4 other records not written, only for having been sent in the same batch or behind it\n", "5 failed"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("%q is not in %q", want, r.err)
		}
	}
	if strings.Contains(r.err, "line 1") || strings.Contains(r.err, "line 4") {
		t.Errorf("records are named that were not to blame: %q", r.err)
	}
	r = f.call("a\nb\n", "produce", "t", "--keep-going")
	if !strings.Contains(r.err, "line 1: 1 records are refused (INVALID_RECORD)") {
		t.Errorf("with --keep-going the broker's words are missing: %q", r.err)
	}
}

// TestProduceSaysWhyNothingIsAcknowledged: with a full disk it only said that
// nothing was acknowledged.
func TestProduceSaysWhyNothingIsAcknowledged(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.refuseBatches(kerr.KafkaStorageError, "the disk is full", nil)
	r := f.call("a\n", "produce", "t", "--delivery-timeout", "3s")
	if r.status != exitFailed {
		t.Errorf("status %d", r.status)
	}
	for _, want := range []string{
		"nothing is acknowledged; the broker says: the disk is full (KAFKA_STORAGE_ERROR); trying again",
		"nothing was acknowledged for 3s (--delivery-timeout): gave up; the broker says: the disk is full (KAFKA_STORAGE_ERROR)\n",
	} {
		if !strings.Contains(r.err, want) {
			t.Errorf("%q is not in %q", want, r.err)
		}
	}
}

// TestProduceFailsOnlyTheBadRecord: what a topic demands of every record is
// looked at before its neighbours are sent with it.
func TestProduceFailsOnlyTheBadRecord(t *testing.T) {
	f := startFake(t)
	f.ok("", "topic", "create", "t", "-c", "cleanup.policy=compact")
	r := f.call("k:1\nno key\nk:2\n", "produce", "t", "-K", ":", "--keep-going")
	if r.status != exitFailed || !strings.Contains(r.err, "line 2: the record has no key") || !strings.HasPrefix(lastLine(r.err), "2 records acknowledged") {
		t.Errorf("status %d: %q", r.status, r.err)
	}
	f.ok("", "topic", "create", "dated", "-c", "message.timestamp.type=CreateTime", "-c", "message.timestamp.before.max.ms=86400000")
	r = f.call(`{"value":"old","timestamp":1000}`+"\n"+`{"value":"new"}`+"\n", "produce", "dated", "-i", "json", "--keep-going")
	if r.status != exitFailed || !strings.Contains(r.err, "line 1: the timestamp 1970-01-01T00:00:01Z is older") || !strings.HasPrefix(lastLine(r.err), "1 record acknowledged") {
		t.Errorf("status %d: %q", r.status, r.err)
	}
}

func TestTrimOfACompactedTopicIsRefusedInTheDryRun(t *testing.T) {
	f := startFake(t)
	f.ok("", "topic", "create", "t", "-p", "1", "-c", "cleanup.policy=compact")
	f.ok("k:1\nk:2\n", "produce", "t", "-q", "-K", ":")
	for _, line := range [][]string{
		{"topic", "trim", "t", "--before", "1", "--dry-run"},
		{"topic", "trim", "t", "--before", "1", "--yes"},
	} {
		r := f.call("", line...)
		if r.status != exitFailed || !strings.Contains(r.out, "without delete: records cannot be deleted (POLICY_VIOLATION)") {
			t.Errorf("%q: status %d, %q", line, r.status, r.out)
		}
	}
	if got := f.ok("", "consume", "t", "-e"); got != "1\n2\n" {
		t.Errorf("there is %q", got)
	}
}

// TestTrimOfAStreamIsRefusedInTheDryRun: it said that the records were deleted, as
// no config tells that a broker keeps them.
func TestTrimOfAStreamIsRefusedInTheDryRun(t *testing.T) {
	f := startFake(t)
	f.ok("", "topic", "create", "s", "-p", "2")
	f.ok("a\nb\n", "produce", "s", "-q", "-p", "0")
	refuse := true
	f.ControlKey(int16(kmsg.DeleteRecords), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		req := kreq.(*kmsg.DeleteRecordsRequest)
		resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewDeleteRecordsResponseTopic()
			st.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				sp := kmsg.NewDeleteRecordsResponseTopicPartition()
				sp.Partition, sp.ErrorCode = rp.Partition, kerr.PolicyViolation.Code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, refuse
	})
	f.ControlKey(int16(kmsg.DescribeConfigs), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		rc := kmsg.NewDescribeConfigsResponseResourceConfig()
		rc.Name, rc.Value = "kinesis.data.deletion.enable", kmsg.StringPtr("false")
		rr := kmsg.NewDescribeConfigsResponseResource()
		rr.ResourceType, rr.ResourceName, rr.Configs = kmsg.ConfigResourceTypeTopic, "s", []kmsg.DescribeConfigsResponseResourceConfig{rc}
		resp := kreq.ResponseKind().(*kmsg.DescribeConfigsResponse)
		resp.Resources = append(resp.Resources, rr)
		return resp, nil, true
	})
	for _, line := range [][]string{
		{"topic", "trim", "s", "--before", "end", "--dry-run"},
		{"topic", "trim", "s", "--before", "end", "--yes"},
	} {
		r := f.call("", line...)
		if r.status != exitFailed || strings.Count(r.out, "set kinesis.data.deletion.enable=true on the topic to allow it (POLICY_VIOLATION)") != 2 {
			t.Errorf("%q: status %d, %q", line, r.status, r.out)
		}
	}
	refuse = false // and a dry run that is not refused has deleted nothing
	if r := f.call("", "topic", "trim", "s", "--before", "end", "--dry-run", "-o", "json"); r.status != exitOK || !strings.Contains(r.out, `"deleted": 2`) {
		t.Errorf("status %d, %q, %q", r.status, r.out, r.err)
	}
	if got := f.ok("", "consume", "s", "-e"); got != "a\nb\n" {
		t.Errorf("there is %q", got)
	}
}

func TestUnsetOfAnUnknownConfig(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.fails(exitFailed, `topics have no config "retnetion.ms"`, "topic", "alter", "t", "--unset", "retnetion.ms")
	f.ok("", "topic", "alter", "t", "--unset", "retention.ms") // known, and not set
}
