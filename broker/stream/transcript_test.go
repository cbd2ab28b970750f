package stream

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/topic"
)

var update = flag.Bool("update", false, "write what the manager does into the transcripts")

// TestTranscripts plays the files under testdata to a manager: see testdata/README.
func TestTranscripts(t *testing.T) {
	coordinatortest.Transcripts(t, *update, func(t *testing.T) (*strings.Builder, func(string)) {
		p := &player{t: t, stage: newStage(t, nil)}
		return &p.out, p.event
	})
}

type player struct {
	*stage
	t   *testing.T
	out strings.Builder
}

func (p *player) say(format string, args ...any) { fmt.Fprintf(&p.out, "  "+format+"\n", args...) }

// event plays one line: a verb, the name of a stream, and KEY=VALUE or words.
func (p *player) event(line string) {
	words := strings.Fields(line)
	verb, rest := words[0], words[1:]
	switch verb {
	case "set":
		p.config(rest)
	case "advance":
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			p.t.Fatal(err)
		}
		p.clock.Advance(d)
	case "crash":
		p.lose(rest)
	case "limits":
		p.say("%+v", p.m.Limits())
	case "commit", "uncommit":
		p.did(p.m.SetCommitment(verb == "commit"))
		c, now, err := p.m.Commitment()
		p.say("committed %t %v", c.On(now), err)
	case "list":
		found, more := p.m.After(strings.Join(rest, " "), 3)
		for _, t := range found {
			p.say("%s %s", t.Name, t.Stream.Status)
		}
		p.say("more %t", more)
	default:
		p.stream(verb, rest[0], rest[1:])
	}
}

func (p *player) config(rest []string) {
	name, value, _ := strings.Cut(rest[0], "=")
	errs, err := p.topics.AlterConfigs([]topic.ConfigChange{{Resource: topic.Resource{Broker: true}, Ops: []topic.ConfigOp{{Name: name, Value: &value}}}}, false)
	if err := errors.Join(append(errs, err)...); err != nil {
		p.t.Fatal(err)
	}
}

// lose crashes the broker, now or at one of its next changes of metadata.
func (p *player) lose(rest []string) {
	if len(rest) == 0 {
		if err := p.crash(); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	when, n, _ := strings.Cut(rest[0], "=")
	p.meta.left, _ = strconv.Atoi(n)
	p.meta.after = when == "after"
}

// did tells an outcome, if it is an error.
func (p *player) did(err error) {
	var refusal *Error
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		p.say("%s: %s", refusal.Type, refusal.Message)
	default:
		p.say("error: %v", err)
	}
}

func (p *player) stream(verb, name string, rest []string) {
	opts := map[string]string{}
	var args []string
	for _, w := range rest {
		if k, v, ok := strings.Cut(w, "="); ok {
			opts[k] = v
		} else {
			args = append(args, w)
		}
	}
	switch verb {
	case "create":
		p.create(name, opts)
		return
	case "kafka-create":
		n := int32(p.number(args[0]))
		_, errs, err := p.topics.Create([]topic.NewTopic{{Name: name, Partitions: n, ReplicationFactor: 1}}, false)
		p.did(errors.Join(append(errs, err)...))
		return
	}
	t, err := p.m.Find(&name, nil)
	if err != nil {
		p.did(err)
		return
	}
	switch verb {
	case "show":
		p.show(t)
	case "put":
		for _, key := range args {
			index, offset, err := p.put(name, key)
			if err == nil {
				p.say("%s is in shard %d at %d", key, index, offset)
			}
			p.did(err)
		}
	case "kafka-put":
		offset, err := p.produce(t, int32(p.number(args[0])), "k")
		if err == nil {
			p.say("at %d", offset)
		}
		p.did(err)
	case "kafka-grow":
		errs, err := p.topics.CreatePartitions([]topic.MorePartitions{{Name: name, Count: int32(p.number(args[0]))}}, false)
		p.did(errors.Join(append(errs, err)...))
	case "kafka-config":
		errs, err := p.topics.AlterConfigs([]topic.ConfigChange{{Resource: topic.Resource{Name: name}, Ops: configOps(opts)}}, false)
		p.did(errors.Join(append(errs, err)...))
	case "kafka-delete":
		p.did(p.m.o.Delete(t.ID))
	default:
		p.change(verb, t, args, opts)
	}
}

func configOps(opts map[string]string) (ops []topic.ConfigOp) {
	for _, k := range slices.Sorted(maps.Keys(opts)) {
		ops = append(ops, topic.ConfigOp{Name: k, Value: new(opts[k])})
	}
	return ops
}

func (p *player) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *player) create(name string, opts map[string]string) {
	n := New{Name: name, Mode: topic.StreamMode(opts["mode"]), Distribution: opts["distribution"]}
	if v, ok := opts["shards"]; ok {
		n.Shards = new(int32(p.number(v)))
	}
	if v, ok := opts["record"]; ok {
		n.MaxRecordBytes = int32(p.number(v)) << 10
	}
	if v, ok := opts["warm"]; ok {
		n.WarmMiBps = int32(p.number(v))
	}
	if v, ok := opts["tag"]; ok {
		n.Tags = map[string]string{"tag": v}
	}
	p.did(p.m.Create(n))
}

// change plays the changes of a stream that exists.
func (p *player) change(verb string, t *topic.Topic, args []string, opts map[string]string) {
	switch verb {
	case "delete":
		p.did(p.m.Delete(t, slices.Contains(args, "enforce")))
	case "split":
		at := args[1]
		if at == "middle" {
			index, _ := shard.ParseID(args[0])
			at = middle(t.Stream.Lineage.Shard(index).Range).String()
		}
		p.did(p.m.SplitShard(t, args[0], at))
	case "merge":
		p.did(p.m.MergeShards(t, args[0], args[1]))
	case "reshard":
		current, err := p.m.UpdateShardCount(t, int32(p.number(args[0])))
		if err == nil {
			p.say("from %d shards", current)
		}
		p.did(err)
	case "retain":
		p.did(p.m.SetRetention(t, int32(p.number(args[0])), slices.Contains(args, "decrease")))
	case "monitor", "unmonitor":
		before, after, err := p.m.SetMonitoring(t, args, verb == "monitor")
		p.did(err)
		p.say("%v -> %v", before, after)
	case "encrypt":
		p.did(p.m.StartEncryption(t, args[0]))
	case "decrypt":
		p.did(p.m.StopEncryption(t, args[0]))
	case "mode":
		p.did(p.m.SetMode(t, topic.StreamMode(args[0]), 0))
	case "record-size":
		p.did(p.m.SetMaxRecordSize(t, int32(p.number(args[0]))<<10))
	case "warm":
		p.did(p.m.SetWarmThroughput(t, int32(p.number(args[0]))))
	case "distribute":
		p.did(p.m.SetDistribution(t, args[0]))
	case "register":
		for _, name := range args {
			_, _, err := p.m.Register(t, name, nil)
			p.did(err)
		}
	case "deregister":
		arn := p.m.ARN(t.Name)
		t, c, err := p.m.FindConsumer(&arn, &args[0], nil)
		if err == nil {
			err = p.m.Deregister(t, c)
		}
		p.did(err)
	case "tag":
		p.did(p.m.AddTags(t, opts))
	case "untag":
		p.did(p.m.RemoveTags(t, args))
	default:
		p.t.Fatalf("no event %s", verb)
	}
}

func middle(r shard.Range) shard.HashKey {
	return shard.HashKey{Hi: r.Start.Hi + (r.End.Hi-r.Start.Hi)/2 + 1}
}

// show prints all that is not as usual of a stream.
func (p *player) show(t *topic.Topic) {
	s := t.Stream
	line := fmt.Sprintf("%s %s, %d partitions, %d h, records of %d KiB, %s", s.Status, s.Mode, t.Partitions, RetentionHours(t), s.MaxRecordBytes>>10, map[bool]string{true: "own shards", false: "implicit shards"}[s.Own])
	if s.Pending != nil {
		line += fmt.Sprintf(", due in %d ms", s.Pending.At-p.clock.Now().UnixMilli())
	}
	if len(s.Tags) > 0 {
		line += fmt.Sprintf(", tags %v", s.Tags)
	}
	if s.KeyID != "" {
		line += ", key " + s.KeyID
	}
	if s.WarmMiBps > 0 {
		line += fmt.Sprintf(", warm %d MiB/s", s.WarmMiBps)
	}
	if s.Distribution != "" {
		line += ", distribution " + s.Distribution
	}
	p.say("%s", line)
	for _, sh := range s.Lineage.Select(shard.Filter{}, p.m.Horizon(t)) {
		parents := ""
		if sh.Parent != shard.None {
			parents = fmt.Sprintf(" of %d", sh.Parent)
		}
		if sh.AdjacentParent != shard.None {
			parents += fmt.Sprintf(" and %d", sh.AdjacentParent)
		}
		state := "open"
		if !sh.IsOpen() {
			state = fmt.Sprintf("closed, ends at %d", sh.End)
		}
		p.say("shard %d%s from %016x to %016x: %s", sh.Index, parents, sh.Range.Start.Hi, sh.Range.End.Hi, state)
		if sealed := p.sealed(t, sh.Index); sealed == sh.IsOpen() {
			p.say("but its partition is sealed: %t", sealed)
		}
	}
	for _, c := range s.Consumers {
		p.say("consumer %s %s", c.Name, c.Status)
	}
}

// sealed says whether a partition takes no records.
func (p *player) sealed(t *topic.Topic, index int32) bool {
	return p.partitions.Get(t.ID, index).Sealed()
}
