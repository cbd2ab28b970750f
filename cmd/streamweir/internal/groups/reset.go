package groups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/topics"
)

// Target says where a reset moves a group.
type Target struct {
	Kind TargetKind
	N    int64     // ToOffset, ShiftBy
	Time time.Time // ToTime
}

// TargetKind is one of the ways to name a target.
type TargetKind int

// The ways to name a target.
const (
	ToEarliest TargetKind = iota
	ToLatest
	ToCurrent // what is committed now: writes it again, inside the log's bounds
	ToOffset
	ShiftBy
	ToTime
)

// Scope says which partitions a reset is about.
type Scope struct {
	Topics    []position.Selection
	AllTopics bool // every topic that the group has committed offsets for
}

// Move is one line of a plan.
type Move struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Current   *int64 `json:"current_offset"` // nil: nothing is committed
	New       *int64 `json:"new_offset"`     // nil: stays without one
	Change    *int64 `json:"change"`         // nil: there was no offset before
	Lag       *int64 `json:"lag_after"`
	Note      string `json:"note,omitempty"`
	Error     string `json:"error,omitempty"`
	// leaderEpoch and metadata are carried over from an import.
	leaderEpoch int32
	metadata    string
}

// Plan is what a reset would do, or did.
type Plan struct {
	Group    string `json:"group"`
	Executed bool   `json:"executed"`
	Moves    []Move `json:"moves"`
}

// PlanReset works out where each partition goes.
func PlanReset(ctx context.Context, c *client.Cluster, group string, target Target, scope Scope) (Plan, error) {
	plan := Plan{Group: group, Moves: []Move{}}
	committed, err := Committed(ctx, c, group)
	if err != nil {
		return plan, err
	}
	selection := scope.Topics
	if scope.AllTopics {
		for _, o := range committed {
			if !slices.ContainsFunc(selection, func(s position.Selection) bool { return s.Topic == o.Topic }) {
				selection = append(selection, position.Selection{Topic: o.Topic})
			}
		}
		if len(selection) == 0 {
			return plan, fmt.Errorf("group %q has no committed offsets, so --all-topics names none: choose them with --topic", group)
		}
	}
	ps, err := topics.Select(ctx, c, selection)
	if err != nil {
		return plan, err
	}
	finder := position.Finder{Cluster: c}
	bounds, err := finder.Bounds(ctx, ps)
	if err != nil {
		return plan, err
	}
	var at map[position.Partition]int64
	if target.Kind == ToTime {
		if at, err = finder.AtTime(ctx, target.Time, ps); err != nil {
			return plan, err
		}
	}
	current := make(map[position.Partition]int64, len(committed))
	for _, o := range committed {
		current[position.Partition{Topic: o.Topic, Partition: o.Partition}] = o.At
	}
	for _, p := range ps {
		var cur *int64
		if n, ok := current[p]; ok {
			cur = &n
		}
		plan.Moves = append(plan.Moves, move(p, target, bounds[p], cur, at[p]))
	}
	return plan, nil
}

// move applies the rules to one partition: every target is kept inside what
// the log holds, since a consumer cannot read elsewhere and would start
// wherever its auto.offset.reset says. at is where the target's time is.
func move(p position.Partition, target Target, b position.Bounds, current *int64, at int64) Move {
	m := Move{Topic: p.Topic, Partition: p.Partition, Current: current, leaderEpoch: -1}
	var want int64
	switch target.Kind {
	case ToEarliest:
		want = b.Start
	case ToLatest:
		want = b.End
	case ToOffset:
		want = target.N
	case ToCurrent, ShiftBy:
		if current == nil {
			m.Note = "nothing is committed: left alone"
			return m
		}
		want = *current + target.N
	case ToTime:
		want = at
		if at >= b.End {
			m.Note = position.NoteNoneSoRecent
		}
	}
	got, note := b.Inside(want)
	if target.Kind != ToTime { // retention and trims may move the bounds meanwhile
		m.Note = note
	}
	return m.to(got, b)
}

// to completes a move whose destination is known.
func (m Move) to(offset int64, b position.Bounds) Move {
	lag := b.End - offset
	m.New, m.Lag = &offset, &lag
	if m.Current != nil {
		change := offset - *m.Current
		m.Change = &change
	}
	return m
}

// ActiveError says that a group cannot be changed while it has members.
type ActiveError struct {
	Group   string
	State   string
	Members []Member
}

func (e *ActiveError) Error() string {
	var who []string
	for _, m := range e.Members {
		who = append(who, fmt.Sprintf("%s at %s", m.ClientID, strings.TrimPrefix(m.Host, "/")))
	}
	const shown = 3
	more := ""
	if len(who) > shown {
		more = fmt.Sprintf(" and %d more", len(who)-shown)
		who = who[:shown]
	}
	text := fmt.Sprintf("group %q is active (%s", e.Group, e.State)
	if len(who) > 0 {
		text += fmt.Sprintf(", %s: %s%s", output.Plural(int64(len(e.Members)), "member"), strings.Join(who, ", "), more)
	}
	return text + "): stop its consumers, or wait for their session to time out, and try again"
}

// CheckInactive returns an ActiveError if the group has members.
func CheckInactive(ctx context.Context, c *client.Cluster, group string) error {
	d, err := describeMembers(ctx, c, group)
	if err != nil {
		return fmt.Errorf("group %q: %w", group, err)
	}
	if d.State == stateEmpty || d.State == stateDead || d.State == "" {
		return nil
	}
	return &ActiveError{Group: group, State: d.State, Members: d.Members}
}

// Execute commits the new offsets of a plan.
func Execute(ctx context.Context, c *client.Cluster, plan *Plan) error {
	if err := CheckInactive(ctx, c, plan.Group); err != nil {
		return err
	}
	var offsets kadm.Offsets
	for _, m := range plan.Moves {
		if m.New != nil {
			offsets.Add(kadm.Offset{Topic: m.Topic, Partition: m.Partition, At: *m.New, LeaderEpoch: m.leaderEpoch, Metadata: m.metadata})
		}
	}
	plan.Executed = true
	if len(offsets) == 0 {
		return nil
	}
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	responses, err := c.Admin.CommitOffsets(ctx, plan.Group, offsets)
	if err != nil {
		plan.Executed = false
		return fmt.Errorf("commit offsets of group %q: %w", plan.Group, c.Explain(err))
	}
	failed := 0
	for i := range plan.Moves {
		m := &plan.Moves[i]
		if m.New == nil {
			continue
		}
		r, ok := responses.Lookup(m.Topic, m.Partition)
		switch {
		case !ok:
			m.Error = "the coordinator did not answer for it"
		case errors.Is(r.Err, kerr.UnknownMemberID), errors.Is(r.Err, kerr.RebalanceInProgress), errors.Is(r.Err, kerr.IllegalGeneration):
			m.Error = "the group became active meanwhile: " + client.Plain(r.Err).Error()
		case r.Err != nil:
			m.Error = client.Plain(r.Err).Error()
		default:
			continue
		}
		failed++
	}
	if failed > 0 {
		return &output.FailedError{Failed: failed, Total: len(plan.Moves)}
	}
	return nil
}
