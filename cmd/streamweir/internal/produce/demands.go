package produce

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
)

// DefaultMaxRecordBytes bounds one record where the topic's own limit is not known.
const DefaultMaxRecordBytes = 10 << 20

// Demands is what a topic demands of every record. A broker refuses a whole
// batch for one record that falls short, and the client what waits behind it:
// so we look before we send, and only that record fails.
type Demands struct {
	MaxRecordBytes int
	NeedsKey       bool // the topic is compacted
	// MaxBefore and MaxAfter are how far a timestamp may be from now. A
	// negative one is no limit.
	MaxBefore, MaxAfter time.Duration
}

// minBatchBytes is the smallest limit that the client takes.
const minBatchBytes = 512

// clockSlack is how far our clock may be from the broker's. What is so close to
// a limit we leave to the broker.
const clockSlack = 5 * time.Minute

// NoDemands is where a broker does not say what a topic demands.
func NoDemands() Demands {
	return Demands{MaxRecordBytes: DefaultMaxRecordBytes, MaxBefore: -1, MaxAfter: -1}
}

// AskDemands asks the broker for them.
func AskDemands(ctx context.Context, cl *client.Cluster, topic string) Demands {
	ctx, cancel := cl.Limit(ctx)
	defer cancel()
	d := NoDemands()
	resources, err := cl.Admin.DescribeTopicConfigs(ctx, topic)
	if err != nil || len(resources) != 1 || resources[0].Err != nil {
		return d
	}
	configs := map[string]string{}
	for _, c := range resources[0].Configs {
		if c.Value != nil {
			configs[c.Key] = *c.Value
		}
	}
	if n, err := strconv.ParseInt(configs["max.message.bytes"], 10, 64); err == nil {
		d.MaxRecordBytes = int(min(max(n, minBatchBytes), maxBatchBytes))
	}
	d.NeedsKey = slices.Contains(strings.Split(configs["cleanup.policy"], ","), "compact")
	if configs["message.timestamp.type"] == "CreateTime" {
		d.MaxBefore = limit(configs["message.timestamp.before.max.ms"])
		d.MaxAfter = limit(configs["message.timestamp.after.max.ms"])
	}
	return d
}

// limit reads milliseconds; what is beyond a Duration is no limit.
func limit(ms string) time.Duration {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || n > math.MaxInt64/int64(time.Millisecond) {
		return -1
	}
	return time.Duration(n) * time.Millisecond
}

var errNeedsKey = errors.New("the record has no key, and the topic is compacted: every record needs one")

// TooLargeError says that a record is over the topic's limit.
type TooLargeError struct {
	Size  int64 // 0: not known, reading stopped at the limit
	Limit int
}

func (e *TooLargeError) Error() string {
	if e.Size > 0 {
		return fmt.Sprintf("the record has %d bytes; the topic takes at most %d (max.message.bytes)", e.Size, e.Limit)
	}
	return fmt.Sprintf("the record has more than %d bytes, which is all that the topic takes (max.message.bytes)", e.Limit)
}

// Apply makes the reading of records hold them to the demands.
func (d Demands) Apply(p *input.Parsing) {
	p.MaxRecordBytes = d.MaxRecordBytes
	p.TooLarge = func() error { return &TooLargeError{Limit: d.MaxRecordBytes} }
	p.Check = func(rec *kgo.Record) error { return d.check(rec, time.Now()) }
}

// check says why a record would be refused.
func (d *Demands) check(rec *kgo.Record, now time.Time) error {
	size := len(rec.Key) + len(rec.Value)
	for _, h := range rec.Headers {
		size += len(h.Key) + len(h.Value)
	}
	if size > d.MaxRecordBytes {
		return &TooLargeError{Size: int64(size), Limit: d.MaxRecordBytes}
	}
	if d.NeedsKey && rec.Key == nil {
		return errNeedsKey
	}
	if rec.Timestamp.IsZero() { // it will be sent with the time of sending
		return nil
	}
	age := now.Sub(rec.Timestamp)
	switch {
	case d.MaxBefore >= 0 && age > d.MaxBefore+clockSlack:
		return fmt.Errorf("the timestamp %s is older than the topic allows (message.timestamp.before.max.ms)", rec.Timestamp.UTC().Format(time.RFC3339))
	case d.MaxAfter >= 0 && -age > d.MaxAfter+clockSlack:
		return fmt.Errorf("the timestamp %s is further in the future than the topic allows (message.timestamp.after.max.ms)", rec.Timestamp.UTC().Format(time.RFC3339))
	}
	return nil
}
