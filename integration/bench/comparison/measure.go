package comparison

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Interval is what was counted between two moments, and what it cost.
type Interval struct {
	Count   int64 // of whatever was counted: bytes, records, transactions
	Elapsed time.Duration
	Spent   Usage // between the two ends
}

// NewInterval lies between two readings of the clocks.
func NewInterval(count int64, before, after Usage) Interval {
	return Interval{
		Count:   count,
		Elapsed: after.At.Sub(before.At),
		Spent: Usage{
			Broker:    after.Broker - before.Broker,
			Generator: after.Generator - before.Generator,
			Known:     before.Known && after.Known,
		},
	}
}

// Plus is both together.
func (i Interval) Plus(o Interval) Interval {
	return Interval{
		Count:   i.Count + o.Count,
		Elapsed: i.Elapsed + o.Elapsed,
		Spent: Usage{
			Broker:    i.Spent.Broker + o.Spent.Broker,
			Generator: i.Spent.Generator + o.Spent.Generator,
			Known:     o.Spent.Known,
		},
	}
}

// PerSecond is the rate of what was counted.
func (i Interval) PerSecond() float64 { return float64(i.Count) / i.Elapsed.Seconds() }

// CPUMetrics are what was counted in server and generator time, per so many of
// it; unit names that many, as in "GB".
func (i Interval) CPUMetrics(scenario, unit string, each float64, decimals int) []Metric {
	if !i.Spent.Known {
		return nil
	}
	units := float64(i.Count) / each
	return []Metric{
		Figure(scenario, brokerCPU+" CPU-s/"+unit, i.Spent.Broker.Seconds()/units, decimals, ForComparison),
		Figure(scenario, generatorCPU+" CPU-s/"+unit, i.Spent.Generator.Seconds()/units, decimals, GeneratorCost),
	}
}

const observePoll = 20 * time.Millisecond // how exactly a count ends a run

// Observe reads a counter and the clocks after the warm-up and at the end of the
// measured time; each part is cut short where limit was counted in it.
func (c *Config) Observe(ctx context.Context, s *Server, counter *atomic.Int64, limit int64) (Interval, error) {
	wait := func(d time.Duration, enough func() bool) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		poll := time.NewTicker(observePoll)
		defer poll.Stop()
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-s.Proc.Exited:
				return fmt.Errorf("%s ended during the run: %v", s.System.Name, s.Proc.Err)
			case <-timer.C:
				return nil
			case <-poll.C:
				if enough() {
					return nil
				}
			}
		}
	}
	if err := wait(c.Warmup, func() bool { return counter.Load() > limit }); err != nil {
		return Interval{}, err
	}
	before, err := s.Usage()
	if err != nil {
		return Interval{}, err
	}
	start := counter.Load()
	if err := wait(c.Measure, func() bool { return counter.Load()-start > limit }); err != nil {
		return Interval{}, err
	}
	after, err := s.Usage()
	if err != nil {
		return Interval{}, err
	}
	end := counter.Load()
	if end == start {
		return Interval{}, fmt.Errorf("%w: %s acknowledged nothing for %v", ErrNotServed, s.System.Name, c.Measure)
	}
	return NewInterval(end-start, before, after), nil
}

// Percentiles makes the metrics of a latency scenario, in milliseconds. It fails
// where too few were measured to speak of one of them.
func Percentiles(scenario string, latencies []time.Duration, wanted ...Quantile) ([]Metric, error) {
	for _, q := range wanted {
		if len(latencies) < q.Needs {
			return nil, fmt.Errorf("%s: only %d latencies were measured, at least %d are needed for %s", scenario, len(latencies), q.Needs, q.Name)
		}
	}
	slices.Sort(latencies)
	var all []Metric
	for _, q := range wanted {
		at := latencies[int(q.Of*float64(len(latencies)-1))]
		all = append(all, Figure(scenario, q.Name+" ms", float64(at)/1e6, 2, ForComparison))
	}
	return all, nil
}

// Quantile is a name, what part of all it stands above, and how many there must
// be for it to say something.
type Quantile struct {
	Name  string
	Of    float64
	Needs int
}

var (
	P50  = Quantile{"p50", 0.50, 10}
	P99  = Quantile{"p99", 0.99, 100}
	P999 = Quantile{"p99.9", 0.999, 1000}
)

// StartMetric is the row of a start.
func StartMetric(took time.Duration) Metric {
	return Figure("start", "first ack ms", float64(took.Microseconds())/1e3, 0, ForComparison)
}

// IdleMetrics lets a server rest for Idle, twice, and reports what it holds and spends
// when nobody wants anything of it.
func (c *Config) IdleMetrics(ctx context.Context, s *Server) ([]Metric, error) {
	if err := rest(ctx, c.Idle, s); err != nil { // what starting leaves behind settles
		return nil, err
	}
	before, err := s.Usage()
	if err != nil {
		return nil, err
	}
	if err := rest(ctx, c.Idle, s); err != nil {
		return nil, err
	}
	after, err := s.Usage()
	if err != nil {
		return nil, err
	}
	metrics, err := s.MemoryMetric("idle", "anonymous memory MB")
	if err != nil || !after.Known {
		return metrics, err
	}
	spent := (after.Broker - before.Broker).Seconds() / after.At.Sub(before.At).Seconds()
	return append(metrics, Figure("idle", "CPU %", 100*spent, 1, ForReading)), nil
}

// rest lets a server alone for a while.
func rest(ctx context.Context, d time.Duration, s *Server) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.Proc.Exited:
		return fmt.Errorf("%s ended while idle: %v", s.System.Name, s.Proc.Err)
	case <-timer.C:
		return nil
	}
}
