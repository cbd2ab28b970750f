package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// benchRecords fill a batch of about 64 KB.
func benchRecords() []Record { return testRecords(64, 1000) }

func eachCodec(b *testing.B, f func(b *testing.B, batch Batch, codec Codec)) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			batch := mustBuild(b, BatchOptions{Codec: codec}, benchRecords()...)
			// Bytes are those of the records, whatever they are compressed to.
			b.SetBytes(int64(len(mustBuild(b, BatchOptions{}, benchRecords()...))))
			b.ReportAllocs()
			b.ResetTimer()
			f(b, batch, codec)
		})
	}
}

func BenchmarkCRC(b *testing.B) {
	batch := mustBuild(b, BatchOptions{}, benchRecords()...)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if !batch.CRCValid() {
			b.Fatal("CRC is wrong")
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	rules := topicRules("plain", testTime)
	eachCodec(b, func(b *testing.B, batch Batch, _ Codec) {
		for b.Loop() {
			if _, _, err := Validate(batch, rules); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkValidateSmallRecords has 100-byte records, where the cost is theirs
// and not the bytes'.
func BenchmarkValidateSmallRecords(b *testing.B) {
	rules := topicRules("plain", testTime)
	batch := mustBuild(b, BatchOptions{}, testRecords(600, 90)...)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Validate(batch, rules); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidateLogAppendTime(b *testing.B) {
	rules := topicRules("append", testTime)
	batch := mustBuild(b, BatchOptions{}, benchRecords()...)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		batch.SetMaxTimestamp(CreateTime, testTime)
		if _, _, err := Validate(batch, rules); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecompress is a topic whose compression.type is not the producer's.
func BenchmarkRecompress(b *testing.B) {
	plain := mustBuild(b, BatchOptions{}, benchRecords()...)
	for _, codec := range allCodecs[1:] {
		b.Run(codec.String(), func(b *testing.B) {
			rules := topicRules("plain", testTime)
			rules.Target = Target{Recompress: true, Codec: codec}
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Validate(plain, rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadRecords(b *testing.B) {
	eachCodec(b, func(b *testing.B, batch Batch, _ Codec) {
		for b.Loop() {
			r := ReadRecords(batch, 0)
			n := 0
			for r.Next() {
				n += len(r.Record().Value)
			}
			if err := r.Err(); err != nil || n != 64_000 {
				b.Fatal(err, n)
			}
			r.Close()
		}
	})
}

func BenchmarkBuildBatch(b *testing.B) {
	records := benchRecords()
	eachCodec(b, func(b *testing.B, batch Batch, codec Codec) {
		dst := make([]byte, 0, 1<<20)
		for b.Loop() {
			if _, err := BuildBatch(dst, BatchOptions{Codec: codec}, records...); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// fetchResponse answers for as many partitions as n.
func fetchResponse(n int) (*kmsg.FetchResponse, []int) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 17
	t := kmsg.NewFetchResponseTopic()
	sizes := make([]int, n)
	for i := range n {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark = int32(i), int64(1000*i)
		t.Partitions = append(t.Partitions, p)
		sizes[i] = 65536
	}
	resp.Topics = append(resp.Topics, t)
	return resp, sizes
}

func BenchmarkAppendFetchResponse(b *testing.B) {
	resp, sizes := fetchResponse(12)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		AppendFetchResponse(dst, resp, sizes)
	}
}

// BenchmarkKmsgFetchResponse is what AppendFetchResponse is there to avoid.
func BenchmarkKmsgFetchResponse(b *testing.B) {
	resp, _ := fetchResponse(12)
	for i := range resp.Topics[0].Partitions {
		resp.Topics[0].Partitions[i].RecordBatches = make([]byte, 65536)
	}
	dst := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		resp.AppendTo(dst)
	}
}

func BenchmarkDecodeProduce(b *testing.B) {
	req := kmsg.NewPtrProduceRequest()
	req.Version = 9
	t := kmsg.NewProduceRequestTopic()
	t.Topic = "orders"
	for i := range 12 {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition = int32(i)
		p.Records = mustBuild(b, BatchOptions{}, testRecords(8, 1000)...)
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	body := req.AppendTo(nil)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRequest(RequestHeader{Key: Produce, Version: 9}, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFirstAt(b *testing.B) {
	eachCodec(b, func(b *testing.B, batch Batch, _ Codec) {
		for b.Loop() {
			if _, _, ok, err := batch.FirstAt(testTime, 63, 0); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
}
