package kafka

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// observedCodes is what Apache Kafka 4.3.1 answered to the cases of
// producedCases, one Produce request each; nil where it accepted the batch.
var observedCodes = map[string]*kerr.Error{
	"100 bytes": kerr.InvalidRecord,
	"16 bytes":  kerr.InvalidRecord,
	"60 bytes":  kerr.InvalidRecord,
	"LogAppendTime batch on a LogAppendTime topic": kerr.InvalidTimestamp,
	"LogAppendTime batch without time":             kerr.InvalidTimestamp,
	"bad length behind":                            kerr.CorruptMessage,
	"base offset -1":                               kerr.InvalidRecord,
	"base offset 7":                                kerr.InvalidRecord,
	"bytes behind the records, gzip":               kerr.InvalidRecord,
	"bytes behind the records, none":               kerr.InvalidRecord,
	"bytes behind the records, recompressed":       kerr.InvalidRecord,
	"changed record":                               kerr.CorruptMessage,
	"codec 5":                                      kerr.UnknownServerError,
	"codec 5 in version 6":                         kerr.UnknownServerError,
	"codec 7":                                      kerr.UnknownServerError,
	"control batch":                                kerr.InvalidRecord,
	"count -1":                                     kerr.InvalidRecord,
	"first offset delta 1, gzip":                   kerr.UnknownServerError,
	"gzip payload cut":                             kerr.UnknownServerError,
	"gzip payload cut header":                      kerr.UnknownServerError,
	"gzip payload empty":                           kerr.UnknownServerError,
	"gzip payload not compressed":                  kerr.UnknownServerError,
	"gzip payload zeros":                           kerr.UnknownServerError,
	"header count -1, gzip":                        kerr.InvalidRecord,
	"header count -1, none":                        kerr.InvalidRecord,
	"header count -1, recompressed":                kerr.InvalidRecord,
	"header count too large, gzip":                 kerr.InvalidRecord,
	"header count too large, none":                 kerr.InvalidRecord,
	"header count too large, recompressed":         kerr.InvalidRecord,
	"header key null, gzip":                        kerr.InvalidRecord,
	"header key null, none":                        kerr.InvalidRecord,
	"header key null, recompressed":                kerr.InvalidRecord,
	"header value beyond the end, gzip":            kerr.InvalidRecord,
	"header value beyond the end, none":            kerr.InvalidRecord,
	"header value beyond the end, recompressed":    kerr.InvalidRecord,
	"key beyond the end, gzip":                     kerr.InvalidRecord,
	"key beyond the end, none":                     kerr.InvalidRecord,
	"key beyond the end, recompressed":             kerr.InvalidRecord,
	"keyless on a compacted topic":                 kerr.InvalidRecord,
	"keyless on a compacted topic in gzip":         kerr.InvalidRecord,
	"largest timestamp":                            kerr.InvalidTimestamp,
	"last delta negative":                          kerr.InvalidRecord,
	"last delta too large":                         kerr.InvalidRecord,
	"last delta too small":                         kerr.InvalidRecord,
	"length -1":                                    kerr.CorruptMessage,
	"length 0":                                     kerr.CorruptMessage,
	"length 13":                                    kerr.CorruptMessage,
	"length 14":                                    kerr.CorruptMessage,
	"length 48":                                    kerr.CorruptMessage,
	"length 49":                                    kerr.CorruptMessage,
	"longest length":                               kerr.UnknownServerError,
	"lz4 dependent blocks":                         kerr.UnknownServerError,
	"lz4 payload cut":                              kerr.UnknownServerError,
	"lz4 payload cut header":                       kerr.UnknownServerError,
	"lz4 payload empty":                            kerr.UnknownServerError,
	"lz4 payload not compressed":                   kerr.UnknownServerError,
	"lz4 payload zeros":                            kerr.UnknownServerError,
	"magic -1":                                     kerr.CorruptMessage,
	"magic 0":                                      kerr.InvalidRecord,
	"magic 1":                                      kerr.InvalidRecord,
	"magic 3":                                      kerr.CorruptMessage,
	"most records":                                 kerr.InvalidRecord,
	"no bytes":                                     kerr.InvalidRecord,
	"no record bytes, gzip":                        kerr.InvalidRecord,
	"no record bytes, none":                        kerr.InvalidRecord,
	"no record bytes, recompressed":                kerr.InvalidRecord,
	"no records":                                   kerr.InvalidRecord,
	"no records, last delta 0":                     kerr.InvalidRecord,
	"offset delta -1, gzip":                        kerr.UnknownServerError,
	"offset deltas 0, 0, gzip":                     kerr.UnknownServerError,
	"offset deltas 0, 2, gzip":                     kerr.UnknownServerError,
	"offset deltas 1, 0, gzip":                     kerr.UnknownServerError,
	"old format behind":                            kerr.InvalidRecord,
	"one byte":                                     kerr.InvalidRecord,
	"one record less than there are":               kerr.InvalidRecord,
	"one record more than there are":               kerr.InvalidRecord,
	"producer with sequence -2":                    kerr.InvalidRecord,
	"producer without sequence":                    kerr.InvalidRecord,
	"record of negative size, gzip":                kerr.InvalidRecord,
	"record of negative size, none":                kerr.InvalidRecord,
	"record of negative size, recompressed":        kerr.InvalidRecord,
	"record of size 0, gzip":                       kerr.InvalidRecord,
	"record of size 0, none":                       kerr.InvalidRecord,
	"record of size 0, recompressed":               kerr.InvalidRecord,
	"record size 2147483647, none":                 kerr.InvalidRecord,
	"record size 2147483647, recompressed":         kerr.UnknownServerError,
	"record size of six bytes, gzip":               kerr.InvalidRecord,
	"record size of six bytes, none":               kerr.UnknownServerError,
	"record size of six bytes, recompressed":       kerr.InvalidRecord,
	"record size one too large, gzip":              kerr.InvalidRecord,
	"record size one too large, none":              kerr.InvalidRecord,
	"record size one too large, recompressed":      kerr.InvalidRecord,
	"record size one too small, none":              kerr.InvalidRecord,
	"record size one too small, recompressed":      kerr.InvalidRecord,
	"record size too large, none":                  kerr.InvalidRecord,
	"record size too large, recompressed":          kerr.InvalidRecord,
	"smallest timestamp":                           kerr.InvalidTimestamp,
	"snappy payload cut":                           kerr.UnknownServerError,
	"snappy payload cut header":                    kerr.UnknownServerError,
	"snappy payload empty":                         kerr.UnknownServerError,
	"snappy payload not compressed":                kerr.UnknownServerError,
	"snappy payload zeros":                         kerr.UnknownServerError,
	"snappy with an S2 repeat":                     kerr.UnknownServerError,
	"timestamp -5, recompressed":                   kerr.UnknownServerError,
	"timestamp of eleven bytes, gzip":              kerr.InvalidRecord,
	"timestamp of eleven bytes, none":              kerr.InvalidRecord,
	"timestamp of eleven bytes, recompressed":      kerr.InvalidRecord,
	"too large":                                    kerr.MessageTooLarge,
	"too large and wrong CRC":                      kerr.MessageTooLarge,
	"too large when decompressed":                  kerr.MessageTooLarge,
	"transactional without producer":               kerr.TransactionalIDAuthorizationFailed,
	"two batches":                                  kerr.InvalidRecord,
	"two hours ago":                                kerr.InvalidTimestamp,
	"two hours ahead":                              kerr.InvalidTimestamp,
	"two hours ahead in gzip":                      kerr.InvalidTimestamp,
	"unknown magic behind":                         kerr.CorruptMessage,
	"value beyond the end, gzip":                   kerr.InvalidRecord,
	"value beyond the end, none":                   kerr.InvalidRecord,
	"value beyond the end, recompressed":           kerr.InvalidRecord,
	"wrong CRC":                                    kerr.CorruptMessage,
	"zstd in version 6":                            kerr.UnsupportedCompressionType,
	"zstd payload cut":                             kerr.UnknownServerError,
	"zstd payload cut header":                      kerr.UnknownServerError,
	"zstd payload empty":                           kerr.InvalidRecord,
	"zstd payload not compressed":                  kerr.UnknownServerError,
	"zstd payload zeros":                           kerr.UnknownServerError,

	"LogAppendTime batch":                      nil,
	"a few bytes behind":                       nil,
	"delete horizon flag":                      nil,
	"empty key on a compacted topic":           nil,
	"first offset delta 1, none":               nil,
	"first offset delta 1, recompressed":       nil,
	"good bare snappy":                         nil,
	"good gzip":                                nil,
	"good lz4":                                 nil,
	"good on a LogAppendTime topic":            nil,
	"good snappy":                              nil,
	"good uncompressed":                        nil,
	"good zstd":                                nil,
	"good gzip, decompressed":                  nil,
	"good snappy, decompressed":                nil,
	"good lz4, decompressed":                   nil,
	"good zstd, decompressed":                  nil,
	"odd gzip, decompressed":                   nil,
	"odd snappy, decompressed":                 nil,
	"odd lz4, decompressed":                    nil,
	"odd zstd, decompressed":                   nil,
	"good, recompressed":                       nil,
	"gzip bytes behind the stream":             nil,
	"half an hour ago":                         nil,
	"half an hour ahead":                       nil,
	"header value null, gzip":                  nil,
	"header value null, none":                  nil,
	"header value null, recompressed":          nil,
	"key size -2, gzip":                        nil,
	"key size -2, none":                        nil,
	"key size -2, recompressed":                nil,
	"keyless on a plain topic":                 nil,
	"leader epoch 9":                           nil,
	"long ago":                                 nil,
	"lz4 bytes behind the frame":               nil,
	"lz4 wrong content checksum":               nil,
	"no timestamp":                             nil,
	"offset delta -1, none":                    nil,
	"offset delta -1, recompressed":            nil,
	"offset deltas 0, 0, none":                 nil,
	"offset deltas 0, 0, recompressed":         nil,
	"offset deltas 0, 2, none":                 nil,
	"offset deltas 0, 2, recompressed":         nil,
	"offset deltas 1, 0, none":                 nil,
	"offset deltas 1, 0, recompressed":         nil,
	"part of a second batch":                   nil,
	"producer id -2":                           nil,
	"record attributes 255, gzip":              nil,
	"record attributes 255, none":              nil,
	"record attributes 255, recompressed":      nil,
	"record size 2147483647, gzip":             nil,
	"record size one too small, gzip":          nil,
	"record size too large, gzip":              nil,
	"sequence without producer":                nil,
	"timestamp -5":                             nil,
	"timestamp -5 in gzip":                     nil,
	"two hours ahead on a LogAppendTime topic": nil,
	"unused attribute 15":                      nil,
	"unused attribute 7":                       nil,
	"value size -7, gzip":                      nil,
	"value size -7, none":                      nil,
	"value size -7, recompressed":              nil,
	"wrong max timestamp":                      nil,
	"zstd in version 7":                        nil,
}

// A difference is a case in which we mean to answer otherwise.
type difference struct {
	ours *kerr.Error
	why  string
}

const (
	whyEscaped    = "an exception that Kafka did not expect becomes UNKNOWN_SERVER_ERROR; the fault is the client's"
	whyUnreadable = "Kafka does not look at this; consumers cannot read the batch"
	whyRenumber   = "Kafka stores wrong record offsets as they are, fails on them, or puts them right, as the codecs of producer and topic happen to be; we put them right"
)

var differences = map[string]difference{
	"gzip payload cut":                     {kerr.InvalidRecord, whyEscaped},
	"gzip payload cut header":              {kerr.InvalidRecord, whyEscaped},
	"gzip payload empty":                   {kerr.InvalidRecord, whyEscaped},
	"gzip payload not compressed":          {kerr.InvalidRecord, whyEscaped},
	"gzip payload zeros":                   {kerr.InvalidRecord, whyEscaped},
	"longest length":                       {kerr.InvalidRecord, whyEscaped},
	"lz4 dependent blocks":                 {kerr.InvalidRecord, whyEscaped},
	"lz4 payload cut":                      {kerr.InvalidRecord, whyEscaped},
	"lz4 payload cut header":               {kerr.InvalidRecord, whyEscaped},
	"lz4 payload empty":                    {kerr.InvalidRecord, whyEscaped},
	"lz4 payload not compressed":           {kerr.InvalidRecord, whyEscaped},
	"lz4 payload zeros":                    {kerr.InvalidRecord, whyEscaped},
	"record size 2147483647, recompressed": {kerr.InvalidRecord, whyEscaped},
	"record size of six bytes, none":       {kerr.InvalidRecord, whyEscaped},
	"snappy payload cut":                   {kerr.InvalidRecord, whyEscaped},
	"snappy payload cut header":            {kerr.InvalidRecord, whyEscaped},
	"snappy payload empty":                 {kerr.InvalidRecord, whyEscaped},
	"snappy payload not compressed":        {kerr.InvalidRecord, whyEscaped},
	"snappy payload zeros":                 {kerr.InvalidRecord, whyEscaped},
	"snappy with an S2 repeat":             {kerr.InvalidRecord, whyEscaped},
	"zstd payload cut":                     {kerr.InvalidRecord, whyEscaped},
	"zstd payload cut header":              {kerr.InvalidRecord, whyEscaped},
	"zstd payload not compressed":          {kerr.InvalidRecord, whyEscaped},
	"zstd payload zeros":                   {kerr.InvalidRecord, whyEscaped},
	"codec 5":                              {kerr.UnsupportedCompressionType, whyEscaped},
	"codec 5 in version 6":                 {kerr.UnsupportedCompressionType, whyEscaped},
	"codec 7":                              {kerr.UnsupportedCompressionType, whyEscaped},
	"first offset delta 1, gzip":           {nil, whyRenumber},
	"offset delta -1, gzip":                {nil, whyRenumber},
	"offset deltas 0, 0, gzip":             {nil, whyRenumber},
	"offset deltas 0, 2, gzip":             {nil, whyRenumber},
	"offset deltas 1, 0, gzip":             {nil, whyRenumber},
	"timestamp -5, recompressed":           {nil, "Kafka accepts the batch where it need not rewrite it; so do we where we do"},
	"record size too large, gzip":          {kerr.InvalidRecord, whyUnreadable},
	"record size 2147483647, gzip":         {kerr.InvalidRecord, whyUnreadable},
	"record size one too small, gzip":      {kerr.InvalidRecord, whyUnreadable},
	"lz4 wrong content checksum":           {kerr.InvalidRecord, whyUnreadable},
	"lz4 bytes behind the frame":           {kerr.InvalidRecord, whyUnreadable},
	"gzip bytes behind the stream":         {kerr.InvalidRecord, whyUnreadable},
	"transactional without producer":       {kerr.InvalidRecord, "Kafka refuses the request before it looks at the batch, because it names no transactional id"},
}

func TestCodesAreThoseOfApacheKafka(t *testing.T) {
	const now = testTime
	seen := map[string]bool{}
	for _, c := range producedCases() {
		t.Run(c.name, func(t *testing.T) {
			want, known := observedCodes[c.name]
			if !known || seen[c.name] {
				t.Fatal("the case has no observed code, or its name is taken")
			}
			seen[c.name] = true
			if d, ok := differences[c.name]; ok {
				if d.ours == want {
					t.Errorf("listed as a difference (%s) but is none", d.why)
				}
				want = d.ours
			}
			rules := topicRules(c.topic, now)
			b, res, err := produce(c.records(now), c.produceVersion(), rules)
			if want != nil {
				wantRefused(t, err, want)
				return
			}
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			wantAccepted(t, b, res, rules)
		})
	}
	for name := range observedCodes {
		if !seen[name] {
			t.Errorf("an observed code for %q, which is no case", name)
		}
	}
	for name := range differences {
		if !seen[name] {
			t.Errorf("a difference for %q, which is no case", name)
		}
	}
}

// wantAccepted checks what Validate promises of a batch that it accepted: it is
// whole, its records can be read and have the offsets 0, 1, 2 and so on, its
// header tells the truth, and it would be accepted again.
func wantAccepted(t testing.TB, b Batch, res Result, rules Rules) {
	t.Helper()
	again, rest, err := NextBatch(b)
	if err != nil || len(rest) > 0 || !again.CRCValid() {
		t.Fatalf("the accepted batch is not whole: %v, %d bytes behind it", err, len(rest))
	}
	if b.TimestampType() != rules.TimestampType || b.MaxTimestamp() != res.MaxTimestamp {
		t.Fatalf("the header has %v %d, want %v %d", b.TimestampType(), b.MaxTimestamp(), rules.TimestampType, res.MaxTimestamp)
	}
	records, err := readAll(b)
	if err != nil {
		t.Fatalf("the accepted batch cannot be read: %v", err)
	}
	largest, at := int64(NoTimestamp), int32(-1)
	for i, r := range records {
		if r.Offset != int64(i) {
			t.Fatalf("record %d has offset %d", i, r.Offset)
		}
		if r.Timestamp > largest {
			largest, at = r.Timestamp, int32(i)
		}
	}
	if len(records) != int(b.NumRecords()) || largest != res.MaxTimestamp || at != res.MaxTimestampDelta {
		t.Fatalf("%d records, largest timestamp %d at %d; Validate says %d, %d at %d",
			len(records), largest, at, b.NumRecords(), res.MaxTimestamp, res.MaxTimestampDelta)
	}
	if b.TimestampType() == LogAppendTime {
		return // which a client may not send
	}
	out, res2, err := Validate(b, rules)
	if err != nil {
		t.Fatalf("refused the second time: %v", err)
	}
	if res2.Rewritten || &out[0] != &b[0] {
		t.Fatal("rewritten the second time")
	}
}

func TestRefusedErrorIsItsKafkaCode(t *testing.T) {
	_, _, err := NextBatch(make([]byte, 30))
	var code *kerr.Error
	if !errors.Is(err, kerr.CorruptMessage) || !errors.As(err, &code) || code.Code != 2 {
		t.Errorf("%v does not unwrap to CORRUPT_MESSAGE", err)
	}
}
