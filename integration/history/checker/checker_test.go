package checker

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

var (
	logP  = Partition{"log", 0}
	logQ  = Partition{"log", 1}
	short = Partition{"short", 0}
	keyed = Partition{"keyed", 0}
	out   = Partition{"out", 0}
)

const (
	plain = int32(1)
	idem  = int32(2)
	txnl  = int32(3)
	maker = int32(4)
	puts  = int32(5)
)

// story builds a history by hand: each step takes the next 10 ms unless it says
// otherwise.
type story struct {
	History
	now Time
}

func begin() *story {
	s := &story{}
	s.Topics = map[string]Topic{"log": {}, "short": {Deletes: true}, "keyed": {Compacted: true}, "out": {}}
	s.Writers = []Writer{{plain, "plain", Plain}, {idem, "idempotent", Idempotent}, {txnl, "transactional", Transactional}, {maker, "maker", Transactional}, {puts, "puts", Putter}}
	return s
}

func (s *story) step() (Time, Time) {
	s.now += 10 * ms
	return s.now - 9*ms, s.now
}

// acked sends a record that is acknowledged at an offset.
func (s *story) acked(w, seq int32, on Partition, offset int64, change ...func(*Send)) *story {
	from, to := s.step()
	send := Send{ID: ID{w, seq}, To: on, Key: -1, Start: from, End: to, Outcome: OK, Offset: offset}
	for _, c := range change {
		c(&send)
	}
	s.Sends = append(s.Sends, send)
	return s
}

func unknown(s *Send)               { s.Outcome, s.Offset, s.End = Unknown, 0, Never }
func refused(s *Send)               { s.Outcome, s.Offset = Failed, 0 }
func in(txn int32) func(*Send)      { return func(s *Send) { s.Txn = txn } }
func key(k int32) func(*Send)       { return func(s *Send) { s.Key = k } }
func stone(s *Send)                 { s.Tombstone = true }
func since(t Time) func(*Send)      { return func(s *Send) { s.Start = t } }
func madeFrom(at int64) func(*Send) { return func(s *Send) { s.Source = &Source{"g", logP, at} } }

// poll reads from an offset on; got are offset, writer, number.
func (s *story) poll(consumer string, on Partition, from, to int64, got ...[3]int64) *story {
	start, end := s.step()
	p := Poll{Consumer: consumer, Committed: strings.HasPrefix(consumer, "rc"), On: on, From: from, To: to, Start: start, End: end}
	for _, r := range got {
		p.Records = append(p.Records, Record{r[0], ID{int32(r[1]), int32(r[2])}})
	}
	s.Polls = append(s.Polls, p)
	return s
}

// joined is the first poll of a group's member.
func (s *story) joined(on Partition, got ...[3]int64) *story {
	assigned := s.now + 1
	s.poll("member", on, -1, got[len(got)-1][0]+1, got...)
	p := &s.Polls[len(s.Polls)-1]
	p.Group, p.Assigned = "g", assigned
	return s
}

func (s *story) ended(w, n int32, o Outcome) *story {
	from, to := s.step()
	s.Txns = append(s.Txns, Txn{Writer: w, N: n, Start: from, End: to, Outcome: o})
	return s
}

func (s *story) bound(what Bound, on Partition, offset int64) *story {
	from, to := s.step()
	s.Bounds = append(s.Bounds, Bounds{what, on, offset, from, to})
	return s
}

func (s *story) commit(on Partition, offset int64, o Outcome) *story {
	from, to := s.step()
	if o == Unknown {
		to = Never
	}
	s.Commits = append(s.Commits, Commit{"g", on, offset, o, from, to})
	return s
}

func (s *story) fetched(on Partition, offset int64) *story {
	from, to := s.step()
	s.Fetched = append(s.Fetched, Fetched{Group: "g", On: on, Offset: offset, Start: from, End: to})
	return s
}

func (s *story) final(on Partition, offset int64) *story {
	s.fetched(on, offset)
	s.History.Fetched[len(s.History.Fetched)-1].Final = true
	s.Drained = []string{"g"}
	return s
}

func (s *story) await(what, detail string, reached bool) *story {
	from, _ := s.step()
	s.Awaits = append(s.Awaits, Await{what, what + " of x", reached, detail, from, from + time.Minute})
	return s
}

type rec = [3]int64

// testCase is a history with what is to be found in it: nothing else, too.
type testCase struct {
	name string
	h    *story
	want []Anomaly
	ops  int // that show it
}

var cases = []testCase{
	{"nothing", begin(), nil, 0},
	{"sent and read", begin().acked(idem, 1, logP, 0).acked(idem, 2, logP, 1).poll("a", logP, 0, 2, rec{0, 2, 1}, rec{1, 2, 2}), nil, 0},
	{"unknown and read", begin().acked(idem, 1, logP, 0, unknown).poll("a", logP, 0, 1, rec{0, 2, 1}), nil, 0},
	{"unknown and not there", begin().acked(idem, 1, logP, 0, unknown).acked(plain, 1, logP, 0).poll("a", logP, 0, 1, rec{0, 1, 1}), nil, 0},
	{"an acknowledged record is in no poll", begin().acked(idem, 1, logP, 0).acked(idem, 2, logP, 1).acked(idem, 3, logP, 2).
		poll("a", logP, 0, 3, rec{0, 2, 1}, rec{2, 2, 3}), []Anomaly{LostWrite}, 2},
	{"a record vanishes after it was read", begin().acked(idem, 1, logP, 0, unknown).acked(idem, 2, logP, 1).
		poll("a", logP, 0, 2, rec{0, 2, 1}, rec{1, 2, 2}).poll("b", logP, 0, 2, rec{1, 2, 2}), []Anomaly{LostWrite}, 3},
	{"a consumer passes over a record that another gets", begin().acked(idem, 1, logP, 0).acked(idem, 2, logP, 1).
		poll("a", logP, 0, 2, rec{1, 2, 2}).poll("b", logP, 0, 2, rec{0, 2, 1}, rec{1, 2, 2}), []Anomaly{SkippedPoll}, 3},
	{"retention may take a record before it is read", begin().acked(idem, 1, short, 0).acked(idem, 2, short, 1).
		poll("a", short, 0, 2, rec{1, 2, 2}).bound(LogStart, short, 1), nil, 0},
	{"retention that has not come so far", begin().acked(idem, 1, short, 0).acked(idem, 2, short, 1).
		poll("a", short, 0, 2, rec{1, 2, 2}).bound(LogStart, short, 0), []Anomaly{LostWrite}, 3},
	{"a plain record twice", begin().acked(plain, 1, logP, 1).poll("a", logP, 0, 2, rec{0, 1, 1}, rec{1, 1, 1}), nil, 0},
	{"an idempotent record twice", begin().acked(idem, 1, logP, 0).poll("a", logP, 0, 2, rec{0, 2, 1}, rec{1, 2, 1}), []Anomaly{Duplicate}, 2},
	{"an idempotent producer's records change places", begin().acked(idem, 1, logP, 0, unknown).acked(idem, 2, logP, 0, unknown).
		poll("a", logP, 0, 2, rec{0, 2, 2}, rec{1, 2, 1}), []Anomaly{Reordered}, 3},
	{"and change places although they were acknowledged", begin().acked(idem, 1, logP, 0).acked(idem, 2, logP, 1).
		poll("a", logP, 0, 2, rec{0, 2, 2}, rec{1, 2, 1}), []Anomaly{Reordered, TwoValues}, 0},
	{"two records at one offset", begin().acked(idem, 1, logP, 0, unknown).acked(plain, 1, logP, 0).
		poll("a", logP, 0, 1, rec{0, 2, 1}), []Anomaly{TwoValues}, 2},
	{"a record of nobody", begin().poll("a", logP, 0, 1, rec{0, 9, 9}), []Anomaly{Phantom}, 1},
	{"a record in another partition", begin().acked(idem, 1, logP, 0, unknown).poll("a", logQ, 0, 1, rec{0, 2, 1}), []Anomaly{Phantom}, 2},
	{"a record with other bytes", begin().acked(idem, 1, logP, 0).poll("a", logP, 0, 1, rec{0, int64(Broken), 0}), []Anomaly{Altered}, 1},
	{"a refused record is read", begin().acked(plain, 1, logP, 0, refused).poll("a", logP, 0, 1, rec{0, 1, 1}), []Anomaly{RefusedShown}, 2},

	{"a committed transaction", begin().acked(txnl, 1, logP, 0, in(1)).ended(txnl, 1, OK).poll("rc", logP, 0, 1, rec{0, 3, 1}), nil, 0},
	{"an aborted one, read by those who read all", begin().acked(txnl, 1, logP, 0, in(1)).ended(txnl, 1, Failed).
		poll("a", logP, 0, 1, rec{0, 3, 1}), nil, 0},
	{"an aborted one, passed over", begin().acked(txnl, 1, logP, 0, in(1)).ended(txnl, 1, Failed).acked(idem, 1, logP, 2).
		poll("rc", logP, 0, 3, rec{2, 2, 1}), nil, 0},
	{"an aborted one, read", begin().acked(txnl, 1, logP, 0, in(1)).ended(txnl, 1, Failed).
		poll("rc", logP, 0, 1, rec{0, 3, 1}), []Anomaly{AbortedRead}, 3},
	{"an open one, read", begin().acked(txnl, 1, logP, 0, in(1)).poll("rc", logP, 0, 1, rec{0, 3, 1}).ended(txnl, 1, OK), []Anomaly{DirtyRead}, 3},
	{"a committed one of which a part is missing", begin().acked(txnl, 1, logP, 0, in(1)).acked(txnl, 2, logQ, 0, in(1)).
		ended(txnl, 1, OK).acked(idem, 1, logQ, 2).poll("rc", logP, 0, 1, rec{0, 3, 1}).poll("rc", logQ, 0, 3, rec{2, 2, 1}), []Anomaly{HalfTransaction}, 3},
	{"an undecided one of which a part is missing", begin().acked(txnl, 1, logP, 0, in(1)).acked(txnl, 2, logQ, 0, in(1)).
		ended(txnl, 1, Unknown).acked(idem, 1, logQ, 2).poll("rc", logP, 0, 1, rec{0, 3, 1}).poll("rc", logQ, 0, 3, rec{2, 2, 1}), []Anomaly{HalfTransaction}, 4},
	{"an undecided one of which all is missing", begin().acked(txnl, 1, logP, 0, in(1)).acked(txnl, 2, logQ, 0, in(1)).
		ended(txnl, 1, Unknown).acked(idem, 1, logQ, 2).poll("rc", logQ, 0, 3, rec{2, 2, 1}), nil, 0},
	{"a fenced producer commits", func() *story {
		s := begin().acked(txnl, 1, logP, 0, in(1)).ended(txnl, 1, OK)
		s.Txns[0].Fenced = 5 * ms
		return s
	}(), []Anomaly{FencedCommit}, 1},

	{"offsets and output together", begin().acked(idem, 1, logP, 0).poll("rc", logP, 0, 1, rec{0, 2, 1}).acked(maker, 1, out, 0, in(1), madeFrom(0)).
		ended(maker, 1, OK).poll("rc", out, 0, 1, rec{0, 4, 1}).final(logP, 1), nil, 0},
	{"offsets without output", begin().acked(idem, 1, logP, 0).poll("rc", logP, 0, 1, rec{0, 2, 1}).final(logP, 1), []Anomaly{OffsetsApart}, 2},
	{"output without offsets", begin().acked(idem, 1, logP, 0).poll("rc", logP, 0, 1, rec{0, 2, 1}).acked(maker, 1, out, 0, in(1), madeFrom(0)).
		ended(maker, 1, OK).poll("rc", out, 0, 1, rec{0, 4, 1}).final(logP, 0), []Anomaly{OffsetsApart}, 4},
	{"output twice", begin().acked(idem, 1, logP, 0).poll("rc", logP, 0, 1, rec{0, 2, 1}).
		acked(maker, 1, out, 0, in(1), madeFrom(0)).ended(maker, 1, OK).acked(maker, 2, out, 2, in(2), madeFrom(0)).ended(maker, 2, OK).
		poll("rc", out, 0, 3, rec{0, 4, 1}, rec{2, 4, 2}).final(logP, 1), []Anomaly{OffsetsApart}, 6},
	{"output of an attempt that was aborted", begin().acked(idem, 1, logP, 0).poll("rc", logP, 0, 1, rec{0, 2, 1}).
		acked(maker, 1, out, 0, in(1), madeFrom(0)).ended(maker, 1, Failed).acked(maker, 2, out, 2, in(2), madeFrom(0)).ended(maker, 2, OK).
		poll("rc", out, 0, 3, rec{2, 4, 2}).final(logP, 1), nil, 0},

	{"a poll that goes back", begin().acked(idem, 1, logP, 0).poll("a", logP, 1, 1, rec{0, 2, 1}), []Anomaly{NonMonotonic}, 1},
	{"a later record at a smaller offset", begin().acked(idem, 2, logP, 1).acked(plain, 1, logP, 0), []Anomaly{OffsetBack}, 2},
	{"records at once in any order", begin().acked(idem, 2, logP, 1).acked(plain, 1, logP, 0, since(0)), nil, 0},
	{"the end goes back", begin().bound(LogEnd, logP, 5).bound(LogEnd, logP, 4), []Anomaly{EndBack}, 2},
	{"the last stable offset goes back", begin().bound(LogStable, logP, 5).bound(LogStable, logP, 4), []Anomaly{EndBack}, 2},
	{"the end does not include what was acknowledged", begin().acked(idem, 1, logP, 7).bound(LogEnd, logP, 7), []Anomaly{EndBack}, 2},
	{"the last stable offset does not include what was read", begin().acked(idem, 1, logP, 7).poll("rc", logP, 7, 8, rec{7, 2, 1}).bound(LogStable, logP, 7), []Anomaly{EndBack}, 2},

	{"a commit is found again", begin().commit(logP, 3, OK).commit(logP, 5, OK).fetched(logP, 5), nil, 0},
	{"an unknown commit may be there", begin().commit(logP, 3, Unknown).commit(logP, 5, OK).fetched(logP, 3), nil, 0},
	{"a commit is forgotten", begin().commit(logP, 3, OK).fetched(logP, -1), []Anomaly{LostCommit}, 2},
	{"an older commit comes back", begin().commit(logP, 3, OK).commit(logP, 5, OK).fetched(logP, 3), []Anomaly{CommitBack}, 2},
	{"a member begins where the group was", begin().acked(idem, 1, logP, 0).acked(idem, 2, logP, 1).commit(logP, 1, OK).joined(logP, rec{1, 2, 2}), nil, 0},
	{"a member begins before the group's offset", begin().acked(idem, 1, logP, 0).commit(logP, 1, OK).joined(logP, rec{0, 2, 1}), []Anomaly{CommitBack}, 2},
	{"a member begins behind the group's offset", begin().acked(idem, 1, logP, 0).acked(idem, 2, logP, 1).acked(idem, 3, logP, 2).
		commit(logP, 1, OK).joined(logP, rec{2, 2, 3}), []Anomaly{SkippedPoll}, 3},

	{"a key's older record is compacted", begin().acked(idem, 1, keyed, 0, key(1)).acked(idem, 2, keyed, 1, key(1)).
		poll("a", keyed, 0, 2, rec{1, 2, 2}), nil, 0},
	{"a key's last record is compacted", begin().acked(idem, 1, keyed, 0, key(1)).acked(idem, 2, keyed, 1, key(2)).
		poll("a", keyed, 0, 2, rec{1, 2, 2}), []Anomaly{LostWrite}, 2},
	{"a record is compacted for one that was aborted", begin().acked(idem, 1, keyed, 0, key(1)).acked(txnl, 1, keyed, 1, key(1), in(1)).
		ended(txnl, 1, Failed).poll("a", keyed, 0, 2, rec{1, 3, 1}), []Anomaly{LostWrite}, 2},
	{"a record is compacted before the one that replaces it", begin().acked(idem, 1, keyed, 0, key(1)).acked(idem, 2, keyed, 1, key(2)).
		poll("a", keyed, 0, 2, rec{1, 2, 2}).acked(idem, 3, keyed, 2, key(1)), []Anomaly{LostWrite}, 2},
	{"a tombstone goes with what it deleted", begin().acked(idem, 1, keyed, 0, key(1)).acked(idem, 2, keyed, 1, key(1), stone).
		acked(idem, 3, keyed, 2, key(2)).poll("a", keyed, 0, 3, rec{2, 2, 3}), nil, 0},
	{"a key comes back from the dead", begin().acked(idem, 1, keyed, 0, key(1)).acked(idem, 2, keyed, 1, key(1), stone).
		acked(idem, 3, keyed, 2, key(2)).poll("a", keyed, 0, 3, rec{2, 2, 3}).poll("b", keyed, 0, 3, rec{0, 2, 1}, rec{2, 2, 3}), []Anomaly{Resurrected}, 4},

	{"all is reached", begin().await(AwaitWrites, "", true).await(AwaitGroup, "", true), nil, 0},
	{"no record goes in", begin().await(AwaitWrites, "no answer", false), []Anomaly{StuckWrites}, 1},
	{"the last stable offset stays", begin().await(AwaitStable, "at 4 of 9", false), []Anomaly{StuckLSO}, 1},
	{"a group stays", begin().await(AwaitGroup, "at 4 of 9", false), []Anomaly{StuckGroup}, 1},
	{"a consumer stays", begin().await(AwaitConsumer, "at 4 of 9", false), []Anomaly{Unseen}, 1},
	{"the broker ends", func() *story {
		s := begin()
		s.Events = []Event{{What: "the broker ended", Crash: true}, {What: "kill -9"}}
		return s
	}(), []Anomaly{Crashed}, 1},
}

func TestFindings(t *testing.T) {
	for _, c := range slices.Concat(cases, streamCases) {
		t.Run(c.name, func(t *testing.T) {
			got := Check(&c.h.History)
			if kinds := slices.Sorted(maps.Keys(got.Count)); !slices.Equal(kinds, slices.Sorted(slices.Values(c.want))) {
				t.Errorf("found %v, want %v", kinds, c.want)
			}
			for _, f := range got.Found {
				var b bytes.Buffer
				f.Print(&b)
				t.Logf("\n%s", b.String())
				f.History.Events = slices.DeleteFunc(f.History.Events, func(e Event) bool { return !e.Crash })
				if n := f.History.Operations(); n != c.ops && len(c.want) == 1 {
					t.Errorf("shown by %d operations, want %d", n, c.ops)
				}
				if !find(f.History).has(f.Kind, f.On) {
					t.Errorf("its history alone does not show it")
				}
			}
		})
	}
}

// Every kind has a case that shows it.
func TestEveryAnomalyHasACase(t *testing.T) {
	for _, kind := range Anomalies() {
		if !slices.ContainsFunc(slices.Concat(cases, streamCases), func(c testCase) bool { return slices.Contains(c.want, kind) }) {
			t.Errorf("no case has %s", kind)
		}
	}
}

// Of thousands of findings, some are shown and all are counted.
func TestManyFindings(t *testing.T) {
	s := begin()
	for i := range int32(1000) {
		s.acked(idem, i, logP, int64(i))
	}
	s.acked(plain, 0, logP, 1000)
	s.poll("a", logP, 0, 1001, rec{1000, 1, 0})
	got := Check(&s.History)
	if got.Count[LostWrite] != 1000 || len(got.Found) != keepOf {
		t.Errorf("counted %d, kept %d", got.Count[LostWrite], len(got.Found))
	}
}

// A finding tells what was done to the broker at the time.
func TestFindingShowsDisturbances(t *testing.T) {
	s := begin().acked(idem, 1, logP, 0).acked(idem, 2, logP, 1)
	from, to := s.step()
	s.Events = append(s.Events, Event{What: "kill -9", Start: from, End: to}, Event{What: "much later", Start: time.Hour, End: time.Hour})
	s.poll("a", logP, 0, 2, rec{1, 2, 2})
	var b bytes.Buffer
	Check(&s.History).Found[0].Print(&b)
	want := []string{"lost-write", "idempotent (writer 2) sends record 2:1 to log/0: acknowledged at offset 0", "kill -9", "consumer a polls log/0 from 0 and is at 2; it got 1: 2:2"}
	for _, w := range want {
		if !strings.Contains(b.String(), w) {
			t.Errorf("%q is missing in\n%s", w, b.String())
		}
	}
	if strings.Contains(b.String(), "later") {
		t.Errorf("shows what came later:\n%s", b.String())
	}
}

func BenchmarkCheck(b *testing.B) {
	s := begin()
	const records, consumers = 100_000, 5
	for i := range int32(records) {
		s.acked(idem, i, logP, int64(i))
	}
	for c := range consumers {
		for from := int64(0); from < records; from += 50 {
			var got []rec
			for o := from; o < from+50; o++ {
				got = append(got, rec{o, int64(idem), o})
			}
			s.poll(fmt.Sprint("c", c), logP, from, from+50, got...)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(Check(&s.History).Found); n > 0 {
			b.Fatalf("%d findings", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
}
