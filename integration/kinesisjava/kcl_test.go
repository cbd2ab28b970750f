package kinesisjava

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/harness"
)

// Two workers of an application process every record through a split and a merge,
// each shard to its end and its children after it. One of them is killed in the
// middle; the other one goes on from the last checkpoint.
func TestKCLByPolling(t *testing.T) { application(t, "polling") }

func TestKCLByFanOut(t *testing.T) { application(t, "fanout") }

const (
	atOnce = 500
	// kclTakes is how long an application may take for a thousand records,
	// besides the time to start, and to notice that a worker is dead.
	kclTakes = 2 * time.Second
)

func application(t *testing.T, how string) {
	total := kclRecords(t)
	s := harness.Start(t, harness.Config("kinesis.limits", "off"), harness.Config("kinesis.transition.ms", "100"))
	app := &app{T: t, aws: harness.AWS{URL: s.AWSURL(), Server: s}, name: harness.Name(t, "app"), dynamo: dynamo(t), how: how, dir: t.TempDir()}
	app.cl = app.aws.Kinesis()
	app.stream = app.aws.Stream(t, 2)
	app.within = 3*time.Minute + time.Duration(total/1000)*kclTakes

	// The first worker becomes the leader, who hands out the leases. It is not
	// the one that is killed: another leader is looked for after minutes only.
	leader := app.start("one")
	app.put(total / 4)
	app.until("the first worker is at work", func(seen *processed) bool { return len(seen.records) >= total/8 })
	victim := app.start("two")
	app.until("the second worker is at work", func(seen *processed) bool { return seen.workers["two"] })
	split := app.split("shardId-000000000000")
	app.put(total / 4)
	app.until("a child of the split is read", func(seen *processed) bool { return seen.started(split[0]) || seen.started(split[1]) })
	victim.Signal(t, syscall.SIGKILL)
	victim.Wait(t, takes)
	app.put(total / 4)
	app.merge(split[0], split[1])
	app.put(total - 3*(total/4))
	third := app.start("three")
	seen := app.until("every record is processed, and every closed shard to its end", func(seen *processed) bool {
		return len(seen.records) >= total && len(seen.ended) >= 3
	})
	app.check(seen, total)

	aggregated := app.aggregate()
	app.until("the records of an aggregate", func(seen *processed) bool {
		for key, data := range aggregated {
			if seen.aggregated[key] != data {
				return false
			}
		}
		return true
	})
	for _, w := range []*harness.Command{leader, third} {
		w.Signal(t, syscall.SIGTERM)
		w.Wait(t, takes)
	}
}

// app is an application of the Kinesis Client Library and the stream it reads.
type app struct {
	*testing.T
	aws          harness.AWS
	cl           *kinesis.Client
	stream, name string
	dynamo       string
	how          string
	dir          string // of what the workers write
	sent         int
	within       time.Duration
}

// start starts a worker.
func (a *app) start(worker string) *harness.Command {
	a.Helper()
	return harness.Background(a, java(a, "Worker", a.aws.URL, a.dynamo, a.stream, a.name, worker, a.how, filepath.Join(a.dir, worker)), nil)
}

// put puts n records, each with the next number as its data.
func (a *app) put(n int) {
	a.Helper()
	ctx := harness.Context(a, a.within)
	for n > 0 {
		in := &kinesis.PutRecordsInput{StreamName: &a.stream}
		for range min(n, atOnce) {
			number := strconv.Itoa(a.sent)
			in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String("key-" + number), Data: []byte(number)})
			a.sent++
			n--
		}
		out, err := a.cl.PutRecords(ctx, in)
		if err != nil {
			a.Fatal(err)
		}
		if *out.FailedRecordCount != 0 {
			a.Fatalf("%d records were refused", *out.FailedRecordCount)
		}
	}
}

// split splits a shard in the middle of its range, which begins at 0, and returns
// its children.
func (a *app) split(shard string) []string {
	a.Helper()
	const quarter = "85070591730234615865843651857942052864" // 2^126
	_, err := a.cl.SplitShard(harness.Context(a, harness.Long), &kinesis.SplitShardInput{StreamName: &a.stream, ShardToSplit: &shard, NewStartingHashKey: aws.String(quarter)})
	if err != nil {
		a.Fatal(err)
	}
	harness.WaitActive(a, a.cl, a.stream)
	var children []string
	for _, s := range harness.Shards(a, a.cl, a.stream) {
		if aws.ToString(s.ParentShardId) == shard {
			children = append(children, *s.ShardId)
		}
	}
	if len(children) != 2 {
		a.Fatalf("the children of %s are %v", shard, children)
	}
	return children
}

func (a *app) merge(left, right string) {
	a.Helper()
	_, err := a.cl.MergeShards(harness.Context(a, harness.Long), &kinesis.MergeShardsInput{StreamName: &a.stream, ShardToMerge: &left, AdjacentShardToMerge: &right})
	if err != nil {
		a.Fatal(err)
	}
	harness.WaitActive(a, a.cl, a.stream)
}

// aggregate puts a record as the Kinesis Producer Library makes them, and returns
// the data of the records in it by key.
func (a *app) aggregate() map[string]string {
	a.Helper()
	bin, dir := harness.Python(a, filepath.Join("..", "kinesis", "testdata", "kinesis-python"))
	records := map[string]string{"aggregated-a": "one", "aggregated-b": "two", "aggregated-c": "three"}
	args := []string{filepath.Join(dir, "aggregate.py"), a.aws.URL, a.stream, "0"}
	for key, data := range records {
		args = append(args, key+"="+data)
	}
	cmd := exec.Command(filepath.Join(bin, "python3"), args...)
	cmd.Env = append(cmd.Environ(), harness.AWSEnviron()...)
	if out := harness.MustRun(a, takes, cmd); !strings.HasSuffix(out, "ok\n") {
		a.Fatalf("no \"ok\" at the end of\n%s", out)
	}
	return records
}

// until waits until what the workers have written says enough.
func (a *app) until(what string, enough func(*processed) bool) *processed {
	a.Helper()
	var seen *processed
	harness.Eventually(a, a.within, what, func() error {
		var err error
		if seen, err = read(a.dir); err != nil {
			a.Fatal(err)
		}
		if !enough(seen) {
			return fmt.Errorf("%d of %d records; shards were begun %v, and ended %v", len(seen.records), a.sent, seen.starts, seen.ended)
		}
		return nil
	})
	return seen
}

// check compares what was processed with what was put.
func (a *app) check(seen *processed, total int) {
	a.Helper()
	for n := range total {
		if seen.records[n] == 0 {
			a.Errorf("record %d of %d was never processed", n, total)
			break
		}
	}
	if len(seen.records) > total {
		a.Errorf("%d different records, and only %d were put", len(seen.records), total)
	}
	again := -total
	for _, times := range seen.records {
		again += times
	}
	a.Logf("%s: %d records, %d of them again after a kill", a.how, total, again)
	if again > total/2 {
		a.Errorf("%d of %d records were processed again: the checkpoints were not resumed", again, total)
	}
	for _, problem := range seen.problems {
		a.Error(problem)
	}
	for _, s := range harness.Shards(a, a.cl, a.stream) {
		for _, parent := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
			if parent == nil {
				continue
			}
			end, ok := seen.ended[*parent]
			if start := seen.starts[*s.ShardId]; !ok || start < end {
				a.Errorf("%s was begun at %d, its parent %s ended at %d", *s.ShardId, start, *parent, end)
			}
		}
	}
}

// processed is what the workers of an application have written down.
type processed struct {
	records    map[int]int       // how often each was processed
	aggregated map[string]string // data by key
	starts     map[string]int64  // when a shard was first begun
	ended      map[string]int64  // when it was first ended
	workers    map[string]bool   // those that have begun a shard
	problems   []string
}

func (p *processed) started(shard string) bool { _, ok := p.starts[shard]; return ok }

// read reads what all workers have written. The line that one is writing is left out.
func read(dir string) (*processed, error) {
	p := &processed{records: map[int]int{}, aggregated: map[string]string{}, starts: map[string]int64{}, ended: map[string]int64{}, workers: map[string]bool{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		last := map[string]string{} // sequence number and subsequence number, by shard
		lines := bufio.NewScanner(bytes.NewReader(b[:bytes.LastIndexByte(b, '\n')+1]))
		for lines.Scan() {
			if err := p.line(f.Name(), strings.Fields(lines.Text()), last); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", f.Name(), lines.Text(), err)
			}
		}
	}
	return p, nil
}

var errLine = errors.New("not a line of a worker")

func (p *processed) line(worker string, fields []string, last map[string]string) error {
	if len(fields) == 3 {
		at, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return err
		}
		shard := fields[1]
		switch fields[0] {
		case "start":
			delete(last, shard)
			p.workers[worker] = true
			earliest(p.starts, shard, at)
		case "end":
			earliest(p.ended, shard, at)
		}
		return nil
	}
	if len(fields) != 6 || fields[0] != "record" {
		return errLine
	}
	shard, key, data := fields[1], fields[4], fields[5]
	number := fmt.Sprintf("%60s %10s", fields[2], fields[3])
	if before := last[shard]; before >= number {
		p.problems = append(p.problems, fmt.Sprintf("worker %s, %s: record %s came after %s", worker, shard, number, before))
	}
	last[shard] = number
	if strings.HasPrefix(key, "aggregated-") {
		p.aggregated[key] = data
		return nil
	}
	n, err := strconv.Atoi(data)
	p.records[n]++
	return err
}

func earliest(m map[string]int64, shard string, at int64) {
	if was, ok := m[shard]; !ok || at < was {
		m[shard] = at
	}
}
