package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestValidateKeepsTheBatchInPlace(t *testing.T) {
	rules := topicRules("plain", testTime)
	for _, codec := range allCodecs {
		b := mustBuild(t, BatchOptions{Codec: codec, LeaderEpoch: NoLeaderEpoch}, testRecords(64, 1000)...)
		before := bytes.Clone(b)
		out, res, err := Validate(b, rules)
		if err != nil {
			t.Fatalf("%v: %v", codec, err)
		}
		if &out[0] != &b[0] || res.Rewritten || !bytes.Equal(out, before) {
			t.Errorf("%v: the batch was copied or changed", codec)
		}
		if res.MaxTimestamp != testTime+6 || res.MaxTimestampDelta != 6 {
			t.Errorf("%v: largest timestamp %d at %d", codec, res.MaxTimestamp, res.MaxTimestampDelta)
		}
	}
}

func TestValidateAllocatesNothingPerRecord(t *testing.T) {
	rules := topicRules("compacted", testTime)
	for _, codec := range allCodecs {
		b := mustBuild(t, BatchOptions{Codec: codec}, testRecords(1000, 50)...)
		got := testing.AllocsPerRun(50, func() {
			if _, _, err := Validate(b, rules); err != nil {
				t.Fatal(err)
			}
		})
		// gzip makes a new Huffman table for each of its blocks.
		if limit := 20.0; got > limit {
			t.Errorf("%v: %v allocations for 1000 records", codec, got)
		}
	}
}

func TestValidateStampsLogAppendTime(t *testing.T) {
	for _, topic := range []string{"append", "tolz4"} {
		rules := topicRules(topic, testTime+5000)
		rules.TimestampType = LogAppendTime
		out, res, err := Validate(mustBuild(t, BatchOptions{Codec: CodecZstd}, testRecords(5, 100)...), rules)
		if err != nil {
			t.Fatal(err)
		}
		wantAccepted(t, out, Result{MaxTimestamp: testTime + 5000}, rules)
		if res.MaxTimestamp != testTime+5000 || res.MaxTimestampDelta != 0 {
			t.Errorf("%s: %+v", topic, res)
		}
	}
}

func TestValidateRecompresses(t *testing.T) {
	want := oddRecords()
	for _, from := range allCodecs {
		for _, to := range allCodecs {
			t.Run(fmt.Sprintf("%v to %v", from, to), func(t *testing.T) {
				rules := topicRules("plain", testTime)
				rules.MaxMessageBytes, rules.AfterMaxMs = 10<<20, 1<<60
				rules.Target = Target{Recompress: true, Codec: to}
				b := mustBuild(t, BatchOptions{Codec: from, Producer: &Producer{ID: 8, Epoch: 3, Sequence: 17}, Transactional: true}, want...)
				out, res, err := Validate(b, rules)
				if err != nil {
					t.Fatal(err)
				}
				if res.Rewritten != (from != to) || out.Codec() != to {
					t.Errorf("rewritten %v, codec %v", res.Rewritten, out.Codec())
				}
				if out.ProducerID() != 8 || out.ProducerEpoch() != 3 || out.BaseSequence() != 17 || !out.IsTransactional() {
					t.Error("the producer was lost")
				}
				got, err := readAll(out)
				if err != nil {
					t.Fatal(err)
				}
				wantSameRecords(t, got, want, 0)
				wantAccepted(t, out, res, rules)
			})
		}
	}
}

func TestValidateNamesTheRefusedRecords(t *testing.T) {
	records := testRecords(5, 10)
	records[1].Key, records[3].Key = nil, nil
	_, _, err := Validate(mustBuild(t, BatchOptions{}, records...), topicRules("compacted", testTime))
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.Records) != 2 || refused.Records[0].Index != 1 || refused.Records[1].Index != 3 {
		t.Fatalf("got %+v", err)
	}
	wantRefused(t, err, kerr.InvalidRecord)

	// A time that is out of range names the whole, as in Apache Kafka.
	records[4].Timestamp = testTime + 100*anHour
	_, _, err = Validate(mustBuild(t, BatchOptions{}, records...), topicRules("compacted", testTime))
	wantRefused(t, err, kerr.InvalidTimestamp)
}

func TestRefusedRecordsAreBounded(t *testing.T) {
	records := make([]Record, 3*MaxRecordErrors)
	_, _, err := Validate(mustBuild(t, BatchOptions{Codec: CodecZstd}, records...), topicRules("compacted", testTime))
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.Records) != MaxRecordErrors {
		t.Fatalf("%d records are named", len(refused.Records))
	}
}

// A record that is larger than the window is passed through it, and must still
// be checked in every field.
func TestValidatePassesLargeRecords(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	good := rawFields("\x00", 0, 0, len(big), string(big), len(big), string(big), 2, 1, "h", -1, 1, "i", len(big), string(big))
	variants := map[string]struct {
		body []byte
		ok   bool
	}{
		"good":                    {good, true},
		"one byte behind":         {append(bytes.Clone(good), 0), false},
		"cut":                     {good[:len(good)-1], false},
		"value too long":          {rawFields("\x00", 0, 0, -1, 2*len(big), string(big), 0), false},
		"negative headers":        {rawFields("\x00", 0, 0, -1, len(big), string(big), -3), false},
		"many headers":            {rawFields("\x00", 0, 0, -1, len(big), string(big), 1<<30), false},
		"header key null":         {rawFields("\x00", 0, 0, -1, len(big), string(big), 1, -1, 0), false},
		"key reaches to next one": {rawFields("\x00", 0, 0, len(big)+100, string(big)), false},
	}
	rules := topicRules("plain", testTime)
	rules.MaxMessageBytes = 10 << 20
	for name, v := range variants {
		for _, codec := range allCodecs {
			t.Run(fmt.Sprintf("%s/%v", name, codec), func(t *testing.T) {
				payload := append(appendVarint(nil, int32(len(v.body))), v.body...)
				b := Batch(raw(1, codec, func() []byte { return compressWith(codec, payload) })(testTime))
				out, res, err := Validate(b, rules)
				if !v.ok {
					wantRefused(t, err, kerr.InvalidRecord)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				wantAccepted(t, out, res, rules)
			})
		}
	}
}

func TestValidateStopsBombs(t *testing.T) {
	rules := topicRules("plain", testTime)
	rules.DecompressedLimit = 2 << 20
	value := make([]byte, 12<<20)
	for _, codec := range []Codec{CodecGzip, CodecLZ4, CodecZstd} {
		b := mustBuild(t, BatchOptions{Codec: codec}, Record{Timestamp: testTime, Value: value})
		_, _, err := Validate(b, rules)
		wantRefused(t, err, kerr.MessageTooLarge)
		got := allocatedBytes(func() { _, _, _ = Validate(b, rules) })
		if got > 2<<20 {
			t.Errorf("%v: refusing a bomb allocates %d bytes", codec, got)
		}
	}
}

func TestRecompressionKeepsToTheLargestMessage(t *testing.T) {
	rules := topicRules("smallnone", testTime)
	b := mustBuild(t, BatchOptions{Codec: CodecZstd}, Record{Timestamp: testTime, Value: make([]byte, 1000)}, Record{Timestamp: testTime, Value: make([]byte, 12<<20)})
	_, _, err := Validate(b, rules)
	wantRefused(t, err, kerr.MessageTooLarge)
}

// A batch that came with the LogAppendTime flag lost its records' timestamps
// when it was also recompressed: all got the batch's.
func TestRecompressionKeepsTimesOfLogAppendTimeBatch(t *testing.T) {
	b := mustBuild(t, BatchOptions{}, testRecords(5, 20)...)
	b.SetLogAppendTime(testTime + 100)
	rules := topicRules("tolz4", testTime)
	out, res, err := Validate(b, rules)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(out)
	if err != nil {
		t.Fatal(err)
	}
	wantSameRecords(t, got, testRecords(5, 20), 0)
	wantAccepted(t, out, res, rules)
}

// Everything pooled is shared by all connections.
func TestManyAtOnce(t *testing.T) {
	want := oddRecords()
	rules := topicRules("plain", testTime)
	rules.MaxMessageBytes, rules.AfterMaxMs = 10<<20, 1<<60
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for round := range 6 {
				from, to := allCodecs[(i+round)%len(allCodecs)], allCodecs[round%len(allCodecs)]
				rules := rules
				rules.Target = Target{Recompress: true, Codec: to}
				built, err := BuildBatch(nil, BatchOptions{Codec: from}, want...)
				if err != nil {
					t.Error(err)
					return
				}
				cut := withPayload(built, from, Batch(built).Payload()[:len(built)/3])
				if _, _, err := Validate(cut, rules); err == nil {
					t.Errorf("%v: a third of a batch is accepted", from)
				}
				out, _, err := Validate(built, rules)
				if err != nil {
					t.Errorf("%v to %v: %v", from, to, err)
					return
				}
				got, err := readAll(out)
				if err != nil || len(got) != len(want) || !bytes.Equal(got[4].Value, want[4].Value) {
					t.Errorf("%v to %v: %d records came back, %v", from, to, len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTargetByName(t *testing.T) {
	for name, want := range map[string]Target{
		"producer":     {},
		"uncompressed": {Recompress: true, Codec: CodecNone},
		"gzip":         {Recompress: true, Codec: CodecGzip, Level: 4},
		"zstd":         {Recompress: true, Codec: CodecZstd, Level: 4},
	} {
		if got, err := TargetByName(name, 4); err != nil || got != want {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if _, err := TargetByName("none", 0); err == nil {
		t.Error("none is accepted; the topic config calls it uncompressed")
	}
}
