package consume

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// leaveTimeout bounds the last commit and the farewell to the group.
const leaveTimeout = 5 * time.Second

// group reads as a member of a consumer group. Offsets are committed for what
// has been written out, and for nothing else.
func (r *run) group(ctx context.Context, cfg client.Config) (err error) {
	// The group's own connections are busy with its life; offsets are
	// looked up on others.
	if r.admin, err = client.Open(ctx, cfg); err != nil {
		return err
	}
	defer r.admin.Close()
	names, err := r.names(ctx)
	if err != nil {
		return err
	}
	if _, err := r.selected(ctx, names); err != nil { // they must exist
		return err
	}
	if r.cl, err = client.Open(ctx, cfg, r.groupOptions()...); err != nil {
		return err
	}
	r.watch.Say(r.job.Note)
	defer func() {
		// Whatever ended the reading, what was written is committed.
		last, cancel := context.WithTimeout(context.Background(), leaveTimeout)
		defer cancel()
		if commitErr := r.cl.CommitMarkedOffsets(last); commitErr != nil && err == nil {
			err = fmt.Errorf("commit offsets of group %q: %w", r.job.Group, r.cl.Explain(commitErr))
		}
		left := make(chan struct{})
		go func() {
			r.cl.CloseAllowingRebalance()
			close(left)
		}()
		select {
		case <-left:
		case <-last.Done(): // its session will end without us
		}
	}()
	return r.poll(ctx)
}

func (r *run) groupOptions() []kgo.Opt {
	topics := r.job.Topics
	opts := append(r.job.options(),
		kgo.WithHooks(r.watch),
		kgo.ConsumerGroup(r.job.Group),
		// What librdkafka's and Java's consumers offer by default, so that all of
		// them can be in one group.
		kgo.Balancers(kgo.RangeBalancer(), kgo.RoundRobinBalancer()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(r.assigned),
		// A partition that we left at its end may come back.
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, got map[string][]int32) { cl.ResumeFetchPartitions(got) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, lost map[string][]int32) {
			if err := cl.CommitMarkedOffsets(ctx); err != nil && ctx.Err() == nil {
				r.job.Note(fmt.Sprintf("commit offsets of group %q: %v", r.job.Group, client.Plain(err)))
			}
			r.forget(lost)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { r.forget(lost) }),
	)
	if r.job.Regex {
		topics = nil
		for _, pattern := range r.job.Topics {
			topics = append(topics, "^(?:"+pattern+")$")
		}
		opts = append(opts, kgo.ConsumeRegex())
	}
	return append(opts, kgo.ConsumeTopics(topics...))
}

func (r *run) forget(lost map[string][]int32) {
	for topic, ps := range lost {
		for _, p := range ps {
			r.stops.forget(position.Partition{Topic: topic, Partition: p})
		}
	}
}

// assigned is called with the partitions that the group gave us and their
// committed offsets. Partitions without one start where the user said.
func (r *run) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	var ps []position.Partition
	for topic, partitions := range offsets {
		for p := range partitions {
			ps = append(ps, position.Partition{Topic: topic, Partition: p})
		}
	}
	finder := position.Finder{Cluster: r.admin, Stable: r.job.Stable}
	bounds, err := finder.Bounds(ctx, ps)
	if err != nil {
		return nil, err
	}
	from, err := finder.Offsets(ctx, r.job.From, bounds)
	if err != nil {
		return nil, err
	}
	for _, p := range ps {
		at := offsets[p.Topic][p.Partition].EpochOffset().Offset
		if at < 0 { // nothing is committed
			at = r.inside(p, from[p], bounds[p])
			offsets[p.Topic][p.Partition] = kgo.NewOffset().At(at)
		}
		if !r.job.ExitAtEnd {
			continue
		}
		if end := bounds[p].End; at < end {
			r.stops.set(p, at, end)
		} else {
			r.stops.finish(p)
		}
	}
	if r.job.ExitAtEnd && len(ps) > 0 {
		r.stops.ready()
	}
	return offsets, nil
}
