package liar

import (
	"encoding/base64"
	"fmt"
	"math/big"
)

// httpFaults by name. What each makes of a broker is said beside it.
var httpFaults = map[string]httpFault{
	// Some records are never shown through Kinesis.
	"hide-record": inRecords(func(l *Liar, in object, records []any) []any {
		return without(records, func(_ int, r object) bool { return chosenRecord(r, 7) })
	}),
	// A byte of the data changes.
	"alter-data": inRecords(func(l *Liar, in object, records []any) []any {
		for _, r := range records {
			r := r.(object)
			if data, err := base64.StdEncoding.DecodeString(text(r, "Data")); err == nil && len(data) > 0 && chosenRecord(r, 7) {
				data[len(data)-1] ^= 1
				r["Data"] = base64.StdEncoding.EncodeToString(data)
			}
		}
		return records
	}),
	// A record is another one than through Kafka.
	"other-record": inRecords(func(l *Liar, in object, records []any) []any {
		for i := 1; i < len(records); i++ {
			if a, b := records[i-1].(object), records[i].(object); chosenRecord(b, 3) {
				b["Data"], b["PartitionKey"] = a["Data"], a["PartitionKey"]
			}
		}
		return records
	}),
	// A fan-out session leaves out what it has in one of its events.
	"skip-event": {actions: []string{subscribe}, event: func(l *Liar, in, event object) {
		if len(list(event, "Records")) > 0 && l.count("events")%4 == 0 {
			event["Records"] = []any{}
		}
	}},
	// A record is stored twice.
	"put-twice": {actions: []string{"PutRecord"}, before: func(l *Liar, action string, in object) verdict {
		if l.count("puts")%5 == 0 {
			return again
		}
		return forward
	}},
	// A record goes where its hash key does not.
	"stray-put": {actions: []string{"PutRecord"}, before: func(l *Liar, action string, in object) verdict {
		if l.count("puts")%3 == 0 {
			in["ExplicitHashKey"] = fmt.Sprint(l.count("hash keys") % 2 * 1000)
		}
		return forward
	}},
	// Two records are acknowledged with one sequence number.
	"repeat-sequence": {actions: []string{"PutRecord"}, after: func(l *Liar, action string, in, out object) {
		shard := text(in, "StreamName") + text(out, "ShardId")
		if before := l.recall(shard); before != nil && l.count("puts")%5 == 0 {
			out["SequenceNumber"] = before["SequenceNumber"]
		}
		l.remember(shard, out)
	}},
	// The results of a request change places.
	"swap-results": {actions: []string{"PutRecords"}, after: func(l *Liar, action string, in, out object) {
		records := list(out, "Records")
		for i := 1; i < len(records); i++ {
			if a, b := records[i-1].(object), records[i].(object); text(a, "ShardId") == text(b, "ShardId") {
				a["SequenceNumber"], b["SequenceNumber"] = b["SequenceNumber"], a["SequenceNumber"]
			}
		}
	}},
	// A shard's sequence numbers are not all of one kind.
	"wrong-sequence": {actions: []string{"PutRecord"}, after: func(l *Liar, action string, in, out object) {
		if l.count("puts")%5 == 0 {
			out["SequenceNumber"] = add(text(out, "SequenceNumber"), 1<<40)
		}
	}},
	// A record is said to be in a shard that was closed before.
	"late-parent": {actions: []string{"PutRecord", "ListShards"}, after: func(l *Liar, action string, in, out object) {
		stream := text(in, "StreamName")
		if action == "PutRecord" {
			if parent := l.recall("parent of " + stream + text(out, "ShardId")); parent != nil && l.count("puts")%3 == 0 {
				out["ShardId"], out["SequenceNumber"] = parent["ShardId"], parent["EndingSequenceNumber"]
			}
			return
		}
		ends := map[string]any{}
		for _, s := range list(out, "Shards") {
			s := s.(object)
			ends[text(s, "ShardId")] = s["SequenceNumberRange"].(object)["EndingSequenceNumber"]
		}
		for _, s := range list(out, "Shards") {
			s := s.(object)
			if end := ends[text(s, "ParentShardId")]; end != nil {
				l.remember("parent of "+stream+text(s, "ShardId"), object{"ShardId": s["ParentShardId"], "EndingSequenceNumber": end})
			}
		}
	}},
	// An iterator leads to where the last one did.
	"old-iterator": {actions: []string{"GetRecords"}, after: func(l *Liar, action string, in, out object) {
		if len(list(out, "Records")) > 0 && out["NextShardIterator"] != nil && l.count("answers")%5 == 0 {
			out["NextShardIterator"] = in["ShardIterator"]
		}
	}},
	// Iterators lead nowhere any more.
	"stick-iterator": {actions: []string{"GetRecords"}, after: func(l *Liar, action string, in, out object) {
		if l.count("answers") > 100 {
			out["Records"], out["MillisBehindLatest"], out["NextShardIterator"] = []any{}, 0, in["ShardIterator"]
			delete(out, "ChildShards")
		}
	}},
	// A LATEST iterator is late: the first records behind it are not shown.
	"late-latest": {actions: []string{"GetShardIterator", "GetRecords"}, after: func(l *Liar, action string, in, out object) {
		if action == "GetShardIterator" {
			if text(in, "ShardIteratorType") == "LATEST" {
				l.remember(text(out, "ShardIterator"), object{})
			}
			return
		}
		if l.recall(text(in, "ShardIterator")) == nil {
			return
		}
		if len(list(out, "Records")) == 0 {
			l.remember(text(out, "NextShardIterator"), object{})
		}
		out["Records"] = []any{}
	}},
	// A shard ends in its middle for those who come late.
	"early-end": {actions: []string{"GetShardIterator", "GetRecords"}, after: func(l *Liar, action string, in, out object) {
		if action == "GetShardIterator" {
			l.remember(text(out, "ShardIterator"), object{"shard": text(in, "StreamName") + text(in, "ShardId")})
			return
		}
		of := l.recall(text(in, "ShardIterator"))
		if of == nil {
			return
		}
		shard := "end of " + text(of, "shard")
		if out["NextShardIterator"] == nil {
			l.remember(shard, object{"ChildShards": out["ChildShards"]})
			return
		}
		l.remember(text(out, "NextShardIterator"), of)
		if end, records := l.recall(shard), list(out, "Records"); end != nil && len(records) > 1 {
			out["Records"], out["NextShardIterator"], out["ChildShards"] = records[:len(records)/2], nil, end["ChildShards"]
		}
	}},
	// The end of a shard has no children.
	"no-children": {actions: []string{"GetRecords", subscribe},
		after: func(l *Liar, action string, in, out object) { delete(out, "ChildShards") },
		event: func(l *Liar, in, event object) { delete(event, "ChildShards") },
	},
	// A split is acknowledged and never done.
	"lose-split": {actions: []string{"SplitShard"}, before: func(l *Liar, action string, in object) verdict { return vanish }},
	// A shard is there, and then it is not.
	"lose-shard": {actions: []string{"ListShards"}, after: func(l *Liar, action string, in, out object) {
		if shards := list(out, "Shards"); len(shards) > 1 && l.count("answers")%10 == 0 {
			out["Shards"] = shards[:len(shards)-1]
		}
	}},
	// A stream that has been active some times is never active again.
	"stick-stream": {actions: []string{"DescribeStreamSummary"}, after: func(l *Liar, action string, in, out object) {
		summary := out["StreamDescriptionSummary"].(object)
		if text(summary, "StreamStatus") == "ACTIVE" && l.count(text(in, "StreamName")) > 5 {
			summary["StreamStatus"] = "UPDATING"
		}
	}},
}

// inRecords is a fault in the records of GetRecords and of events.
func inRecords(change func(l *Liar, in object, records []any) []any) httpFault {
	return httpFault{actions: []string{"GetRecords", subscribe},
		after: func(l *Liar, _ string, in, out object) { out["Records"] = change(l, in, list(out, "Records")) },
		event: func(l *Liar, in, event object) { event["Records"] = change(l, in, list(event, "Records")) },
	}
}

func text(o object, field string) string {
	s, _ := o[field].(string)
	return s
}

func list(o object, field string) []any {
	out, _ := o[field].([]any)
	return out
}

func without(records []any, which func(i int, r object) bool) []any {
	out := []any{}
	for i, r := range records {
		if !which(i, r.(object)) {
			out = append(out, r)
		}
	}
	return out
}

// counterAt is the bit from which a sequence number has its counter on.
const counterAt = 80

// chosenRecord picks one record in n, always the same ones.
func chosenRecord(r object, n int64) bool {
	seq, ok := new(big.Int).SetString(text(r, "SequenceNumber"), 10)
	if !ok {
		return false
	}
	counter := seq.Rsh(seq, counterAt)
	return counter.And(counter, big.NewInt(1<<32-1)).Int64()%n == n-1
}

// add adds to a sequence number.
func add(number string, what int64) string {
	seq, ok := new(big.Int).SetString(number, 10)
	if !ok {
		return number
	}
	return seq.Add(seq, big.NewInt(what)).String()
}

// remember keeps something that was answered, and recall returns it.
func (l *Liar) remember(what string, o object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[what] = o
}

func (l *Liar) recall(what string) object {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard[what]
}
