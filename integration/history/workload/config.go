package workload

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Disturbance is something that the nemesis does.
type Disturbance string

const (
	Kill    Disturbance = "kill"    // kill -9, then a start
	Pause   Disturbance = "pause"   // SIGSTOP, then SIGCONT
	Restart Disturbance = "restart" // SIGTERM, then a start
	Cut     Disturbance = "cut"     // every connection is closed
	Deaf    Disturbance = "deaf"    // requests arrive, responses do not, then a cut
	Refuse  Disturbance = "refuse"  // no new connection, and none old
	Grow    Disturbance = "grow"    // one partition more
	Trim    Disturbance = "trim"    // DeleteRecords
	// Of streams.
	Split  Disturbance = "split"  // SplitShard
	Merge  Disturbance = "merge"  // MergeShards
	Count  Disturbance = "count"  // UpdateShardCount
	Retain Disturbance = "retain" // Increase- and DecreaseStreamRetentionPeriod
)

// Disturbances are all of them.
func Disturbances() []Disturbance {
	return []Disturbance{Kill, Pause, Restart, Cut, Deaf, Refuse, Grow, Trim, Split, Merge, Count, Retain}
}

// needsProcess are those that only work with a broker that we started.
var needsProcess = []Disturbance{Kill, Pause, Restart}

// needsTopics and needsStreams are those that only work on what one protocol has.
var (
	needsTopics  = []Disturbance{Grow, Trim}
	needsStreams = []Disturbance{Split, Merge, Count, Retain}
)

// ParseDisturbances reads a comma-separated list; "all" and "none" are known.
func ParseDisturbances(list string) ([]Disturbance, error) {
	switch list {
	case "all":
		return Disturbances(), nil
	case "none", "":
		return nil, nil
	}
	var out []Disturbance
	for name := range strings.SplitSeq(list, ",") {
		d := Disturbance(strings.TrimSpace(name))
		if !slices.Contains(Disturbances(), d) {
			return nil, fmt.Errorf("disturbance %q is not known; known are %v", d, Disturbances())
		}
		out = append(out, d)
	}
	return out, nil
}

// Config says what a run does.
type Config struct {
	Seed   uint64
	Load   time.Duration // how long each round sends and disturbs
	Settle time.Duration // in which everything has to be reached afterwards
	Rate   int           // records per second, all writers of a protocol together
	// Kafka has topics written and read through Kafka alone, Kinesis has streams
	// that both protocols write and read.
	Kafka, Kinesis bool
	// Transactions and Compaction are parts of the load that a broker must have.
	Transactions bool
	Compaction   bool
	// KeepOld has nothing compacted, so that old records are there to be shown.
	KeepOld bool
	Disturb []Disturbance
	// Every is the mean time between two disturbances.
	Every time.Duration
	Log   func(format string, args ...any)
	// Wrap, where it is not nil, is put around every connection.
	Wrap func(net.Conn) net.Conn
	// WrapHTTP likewise is put around what sends the requests of Kinesis clients.
	WrapHTTP func(http.RoundTripper) http.RoundTripper
}

// maxRecords bounds what a round keeps in memory: nothing is sent beyond it.
const maxRecords = 400_000

// random is a source of choices for one of a round's parts: the same for the
// same seed, round and name, whatever else the round does.
func (c *Config) random(round int, name string) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(c.Seed, h+uint64(round)*0x9e3779b97f4a7c15))
}

// between chooses a time.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)+1))
}
