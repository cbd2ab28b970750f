// Package groups lists and describes consumer groups, and moves their offsets.
package groups

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// The group types and states that matter here, in Kafka's words.
const (
	typeClassic  = "classic"
	typeConsumer = "consumer"

	stateEmpty = "Empty"
	stateDead  = "Dead"
)

// Summary is one line of a list of groups.
type Summary struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	Type         string `json:"type"` // classic, consumer, share; empty before Kafka 3.8
	ProtocolType string `json:"protocol_type"`
	Coordinator  int32  `json:"coordinator"`
}

// Description is everything that a coordinator tells about a group, and how
// far behind it is.
type Description struct {
	Group        string      `json:"group"`
	State        string      `json:"state"`
	Type         string      `json:"type"`
	ProtocolType string      `json:"protocol_type"`
	Protocol     string      `json:"protocol"` // the assignor
	Coordinator  int32       `json:"coordinator"`
	Lag          *int64      `json:"lag"` // of all partitions with a committed offset; nil: of none it is known
	Members      []Member    `json:"members"`
	Partitions   []Partition `json:"partitions"`
}

// Member is a member of a group.
type Member struct {
	MemberID   string       `json:"member_id"`
	InstanceID *string      `json:"instance_id"`
	ClientID   string       `json:"client_id"`
	Host       string       `json:"host"`
	Assignment []Assignment `json:"assignment"`
}

// Assignment is what a member reads of a topic.
type Assignment struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// Partition is where a group stands in a partition.
type Partition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed_offset"` // nil: nothing is committed
	Start     *int64 `json:"start_offset"`     // nil: the partition cannot be looked up
	End       *int64 `json:"end_offset"`
	Lag       *int64 `json:"lag"`
	MemberID  string `json:"member_id"`
	ClientID  string `json:"client_id"`
	Host      string `json:"host"`
	Error     string `json:"error,omitempty"`
}

// List returns the groups in order of their names.
func List(ctx context.Context, c *client.Cluster) ([]Summary, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	list := []Summary{}
	for _, shard := range c.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		if shard.Err != nil {
			return nil, fmt.Errorf("list groups: %w", c.Explain(shard.Err))
		}
		resp := shard.Resp.(*kmsg.ListGroupsResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return nil, fmt.Errorf("list groups: %w", client.Plain(err))
		}
		for _, g := range resp.Groups {
			list = append(list, Summary{Group: g.Group, State: g.GroupState, Type: g.GroupType, ProtocolType: g.ProtocolType, Coordinator: shard.Meta.NodeID})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Group < list[j].Group })
	return list, nil
}

// Describe returns the groups in the order asked for, and of those that cannot be
// described why not.
func Describe(ctx context.Context, c *client.Cluster, names []string) (list []Description, failed []error, err error) {
	list = make([]Description, 0, len(names))
	for _, name := range names {
		d, err := describe(ctx, c, name)
		var unreachable *client.UnreachableError
		switch {
		case errors.As(err, &unreachable) || ctx.Err() != nil:
			return nil, nil, err
		case err != nil:
			failed = append(failed, err)
		default:
			list = append(list, d)
		}
	}
	return list, failed, nil
}

// ErrNoGroup is wrapped where a group does not exist.
var ErrNoGroup = errors.New("no such group")

func describe(ctx context.Context, c *client.Cluster, name string) (Description, error) {
	d, err := describeMembers(ctx, c, name)
	if err != nil {
		return d, fmt.Errorf("group %q: %w", name, err)
	}
	committed, err := Committed(ctx, c, name)
	if err != nil {
		return d, err
	}
	if d.State == stateDead && len(committed) == 0 {
		return d, fmt.Errorf("group %q: %w", name, ErrNoGroup)
	}
	return d, fillPartitions(ctx, c, &d, committed)
}

// describeMembers asks for a classic group, and where that does not exist, for
// a group of the consumer protocol (KIP-848).
func describeMembers(ctx context.Context, c *client.Cluster, name string) (Description, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	groups, err := c.Admin.DescribeGroups(ctx, name)
	if err != nil {
		return Description{}, c.Explain(err)
	}
	g := groups[name]
	if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
		return Description{}, client.WithDetail(g.Err, g.ErrMessage)
	}
	if g.Err == nil && g.State != stateDead {
		return fromClassic(g), nil
	}
	modern, err := c.Admin.DescribeConsumerGroups(ctx, name)
	if m, ok := modern[name]; ok && err == nil && m.Err == nil {
		return fromConsumer(m), nil
	}
	// Neither kind: what is left is at most a group of committed offsets.
	return Description{Group: name, State: stateDead, Type: typeClassic, Coordinator: g.Coordinator.NodeID, Members: []Member{}, Partitions: []Partition{}}, nil
}

func fromClassic(g kadm.DescribedGroup) Description {
	d := Description{
		Group: g.Group, State: g.State, Type: typeClassic, ProtocolType: g.ProtocolType, Protocol: g.Protocol,
		Coordinator: g.Coordinator.NodeID, Members: []Member{}, Partitions: []Partition{},
	}
	for _, m := range g.Members {
		member := Member{MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Assignment: []Assignment{}}
		if a, ok := m.Assigned.AsConsumer(); ok {
			set := make(kadm.TopicsSet)
			for _, t := range a.Topics {
				set.Add(t.Topic, t.Partitions...)
			}
			member.Assignment = assignments(set)
		}
		d.Members = append(d.Members, member)
	}
	return d
}

func fromConsumer(g kadm.DescribedConsumerGroup) Description {
	d := Description{
		Group: g.Group, State: g.State, Type: typeConsumer, ProtocolType: "consumer", Protocol: g.AssignorName,
		Coordinator: g.Coordinator.NodeID, Members: []Member{}, Partitions: []Partition{},
	}
	for _, m := range g.Members {
		d.Members = append(d.Members, Member{
			MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Assignment: assignments(m.Assignment),
		})
	}
	return d
}

func assignments(set kadm.TopicsSet) []Assignment {
	out := []Assignment{}
	for _, t := range set.Sorted() {
		out = append(out, Assignment{Topic: t.Topic, Partitions: t.Partitions})
	}
	return out
}

// Committed returns the committed offsets of a group, in order.
func Committed(ctx context.Context, c *client.Cluster, name string) ([]kadm.Offset, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	fetched := c.Admin.FetchManyOffsets(ctx, name)[name]
	if errors.Is(fetched.Err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if fetched.Err != nil {
		return nil, fmt.Errorf("offsets of group %q: %w", name, c.Explain(fetched.Err))
	}
	var out []kadm.Offset
	for _, o := range fetched.Fetched.Sorted() {
		if o.Err != nil {
			return nil, fmt.Errorf("offset of group %q in %s/%d: %w", name, o.Topic, o.Partition, client.Plain(o.Err))
		}
		if o.At >= 0 {
			out = append(out, o.Offset)
		}
	}
	return out, nil
}

// fillPartitions lists every partition that is committed or assigned.
func fillPartitions(ctx context.Context, c *client.Cluster, d *Description, committed []kadm.Offset) error {
	rows := make(map[position.Partition]*Partition)
	row := func(topic string, partition int32) *Partition {
		p := position.Partition{Topic: topic, Partition: partition}
		if rows[p] == nil {
			rows[p] = &Partition{Topic: topic, Partition: partition}
		}
		return rows[p]
	}
	for _, o := range committed {
		row(o.Topic, o.Partition).Committed = &o.At
	}
	for _, m := range d.Members {
		for _, a := range m.Assignment {
			for _, p := range a.Partitions {
				r := row(a.Topic, p)
				r.MemberID, r.ClientID, r.Host = m.MemberID, m.ClientID, m.Host
			}
		}
	}
	ps := make([]position.Partition, 0, len(rows))
	for p := range rows {
		ps = append(ps, p)
	}
	position.Sort(ps)
	bounds, failed, err := position.Finder{Cluster: c}.TryBounds(ctx, ps)
	if err != nil {
		return err
	}
	for _, p := range ps {
		r := rows[p]
		if err := failed[p]; err != nil {
			r.Error = err.Error()
		} else {
			b := bounds[p]
			r.Start, r.End = &b.Start, &b.End
		}
		if r.End != nil && r.Committed != nil {
			lag := max(*r.End-*r.Committed, 0)
			r.Lag = &lag
			d.addLag(lag)
		}
		d.Partitions = append(d.Partitions, *r)
	}
	return nil
}

func (d *Description) addLag(n int64) {
	if d.Lag != nil {
		n += *d.Lag
	}
	d.Lag = &n
}

// Delete removes groups and their committed offsets.
func Delete(ctx context.Context, c *client.Cluster, names []string) (map[string]error, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	responses, err := c.Admin.DeleteGroups(ctx, names...)
	if err != nil && len(responses) == 0 {
		return nil, fmt.Errorf("delete groups: %w", c.Explain(err))
	}
	failed := make(map[string]error, len(names))
	for _, name := range names {
		r, ok := responses[name]
		switch {
		case !ok:
			failed[name] = errors.New("the coordinator did not answer for it")
		case r.Err != nil:
			failed[name] = client.WithDetail(r.Err, r.ErrMessage)
		}
	}
	return failed, nil
}
