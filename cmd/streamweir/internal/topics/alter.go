package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// Change says what to alter on existing topics.
type Change struct {
	Set        []string // KEY=VALUE
	Unset      []string // back to the default
	Partitions int32    // grow to so many; 0 leaves them
	Add        int32    // grow by so many; 0 leaves them
	DryRun     bool
}

// Empty says that nothing is to be altered.
func (ch Change) Empty() bool { return !ch.ofConfigs() && !ch.ofPartitions() }

func (ch Change) ofConfigs() bool    { return len(ch.Set)+len(ch.Unset) > 0 }
func (ch Change) ofPartitions() bool { return ch.Partitions > 0 || ch.Add > 0 }

// Check says what is wrong with a Change before any broker is asked.
func (ch Change) Check() error {
	settings, err := parseSettings(ch.Set)
	if err != nil {
		return err
	}
	for _, key := range ch.Unset {
		if _, both := settings[key]; both || strings.Contains(key, "=") {
			return fmt.Errorf("config %q cannot be unset: give only its name, and not to --set as well", key)
		}
	}
	return nil
}

func (ch Change) done() string {
	if ch.DryRun {
		return "would alter"
	}
	return "altered"
}

// alteration is a Change under way.
type alteration struct {
	c       *client.Cluster
	change  Change
	configs []kadm.AlterConfig
	names   []string         // of the configs, in order
	target  map[string]int32 // how many partitions each topic is to have
	results []output.Result
}

// partitionsName stands beside the names of configs for the number of partitions.
const partitionsName = "partitions"

// Alter changes topics. Kafka has a request for configs and another for
// partitions, so where both are to change, the broker checks both for a topic
// before it changes either. Configs go first, since they can be taken back.
func Alter(ctx context.Context, c *client.Cluster, names []string, ch Change) ([]output.Result, error) {
	a := &alteration{c: c, change: ch, results: collect(names, func(string) output.Result { return output.Result{Done: ch.done()} })}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	both := ch.ofConfigs() && ch.ofPartitions()
	if both && !ch.DryRun {
		if err := errors.Join(a.alterConfigs(ctx, true), a.addPartitions(ctx, true)); err != nil {
			return nil, err
		}
	}
	if err := a.alterConfigs(ctx, ch.DryRun); err != nil {
		return nil, err
	}
	if both && !ch.DryRun {
		a.tellUnchanged()
		changed := a.pending()
		err := a.addPartitions(ctx, false)
		a.tellHalf(changed, err)
		return a.results, nil
	}
	return a.results, a.addPartitions(ctx, ch.DryRun)
}

// prepare works out what to send.
func (a *alteration) prepare(ctx context.Context) error {
	settings, err := parseSettings(a.change.Set)
	if err != nil {
		return err
	}
	for key, value := range settings {
		a.configs = append(a.configs, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: value})
	}
	for _, key := range a.change.Unset {
		a.configs = append(a.configs, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: key})
	}
	slices.SortFunc(a.configs, func(x, y kadm.AlterConfig) int { return strings.Compare(x.Name, y.Name) })
	for _, cfg := range a.configs {
		a.names = append(a.names, cfg.Name)
	}
	if err := a.checkUnset(ctx); err != nil {
		return err
	}
	return a.setTargets(ctx)
}

// checkUnset fails the topics that have no config of such a name. A broker
// takes the deletion of any name, known or not, as Apache Kafka does; there too
// it is the tool that finds the misspelt one.
func (a *alteration) checkUnset(ctx context.Context) error {
	if len(a.change.Unset) == 0 {
		return nil
	}
	ctx, cancel := a.c.Limit(ctx)
	defer cancel()
	resources, err := a.c.Admin.DescribeTopicConfigs(ctx, a.pending()...)
	if err != nil {
		return fmt.Errorf("describe configs: %w", a.c.Explain(err))
	}
	for _, r := range resources {
		if r.Err != nil {
			a.fail(r.Name, client.WithDetail(r.Err, r.ErrMessage))
			continue
		}
		for _, key := range a.change.Unset {
			if !slices.ContainsFunc(r.Configs, func(have kadm.Config) bool { return have.Key == key }) {
				a.fail(r.Name, fmt.Errorf("topics have no config %q", key))
			}
		}
	}
	return nil
}

// setTargets works out how many partitions each topic is to have. It does so
// once, so that what was checked is what is then done.
func (a *alteration) setTargets(ctx context.Context) error {
	names := a.pending()
	if !a.change.ofPartitions() || len(names) == 0 {
		return nil
	}
	a.target = make(map[string]int32, len(names))
	if a.change.Add == 0 {
		for _, name := range names {
			a.target[name] = a.change.Partitions
		}
		return nil
	}
	ctx, cancel := a.c.Limit(ctx)
	defer cancel()
	details, err := a.c.Admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return fmt.Errorf("describe topics: %w", a.c.Explain(err))
	}
	for _, name := range names {
		d, ok := details[name]
		switch {
		case !ok:
			a.fail(name, errNoAnswer)
		case d.Err != nil:
			a.fail(name, client.Plain(d.Err))
		default:
			a.target[name] = int32(len(d.Partitions)) + a.change.Add
		}
	}
	return nil
}

func (a *alteration) alterConfigs(ctx context.Context, dryRun bool) error {
	names := a.pending()
	if !a.change.ofConfigs() || len(names) == 0 {
		return nil
	}
	ctx, cancel := a.c.Limit(ctx)
	defer cancel()
	send := a.c.Admin.AlterTopicConfigs
	if dryRun {
		send = a.c.Admin.ValidateAlterTopicConfigs
	}
	responses, err := send(ctx, a.configs, names...)
	if err != nil {
		return fmt.Errorf("alter configs: %w", a.c.Explain(err))
	}
	for _, r := range responses {
		a.fail(r.Name, client.WithDetail(r.Err, r.ErrMessage))
	}
	return nil
}

func (a *alteration) addPartitions(ctx context.Context, dryRun bool) error {
	names := a.pending()
	if !a.change.ofPartitions() || len(names) == 0 {
		return nil
	}
	ctx, cancel := a.c.Limit(ctx)
	defer cancel()
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis, req.ValidateOnly = a.c.TimeoutMillis(), dryRun
	for _, name := range names {
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = name, a.target[name]
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, a.c.Client)
	if err != nil {
		return fmt.Errorf("add partitions: %w", a.c.Explain(err))
	}
	errs := make(map[string]error, len(names))
	for _, name := range names {
		errs[name] = errNoAnswer
	}
	for _, t := range resp.Topics {
		errs[t.Topic] = nil
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			detail := ""
			if t.ErrorMessage != nil {
				detail = *t.ErrorMessage
			}
			errs[t.Topic] = client.WithDetail(err, detail)
		}
	}
	for i := range a.results {
		if r := &a.results[i]; r.Err == nil {
			*r = withPartitions(*r, a.target[r.Name])
			a.fail(r.Name, errs[r.Name])
		}
	}
	return nil
}

// tellUnchanged says of the topics that have failed that they are as before.
func (a *alteration) tellUnchanged() {
	for i := range a.results {
		if r := &a.results[i]; r.Err != nil {
			r.Err = fmt.Errorf("%w; nothing was changed", r.Err)
			r.Unchanged = append(slices.Clone(a.names), partitionsName)
		}
	}
}

// tellHalf says of the topics whose configs were changed and whose partitions
// were not that it is so; err ended the whole request, and then nobody knows.
func (a *alteration) tellHalf(changed []string, err error) {
	configs := strings.Join(a.names, ", ")
	for i := range a.results {
		r := &a.results[i]
		if !slices.Contains(changed, r.Name) || r.Err == nil && err == nil {
			continue
		}
		r.Done, r.Changed = "", a.names
		if r.Err != nil {
			r.Err = fmt.Errorf("the configs (%s) were changed, but the number of partitions was not: %w", configs, r.Err)
			r.Unchanged = []string{partitionsName}
			continue
		}
		r.Err = fmt.Errorf("the configs (%s) were changed; whether the number of partitions was is not known: %w", configs, err)
	}
}

// pending lists the topics for which nothing has failed yet.
func (a *alteration) pending() []string {
	var names []string
	for _, r := range a.results {
		if r.Err == nil {
			names = append(names, r.Name)
		}
	}
	return names
}

func (a *alteration) fail(name string, err error) {
	for i := range a.results {
		if r := &a.results[i]; r.Name == name && err != nil {
			r.Done, r.Err, r.Detail, r.Partitions = "", err, "", 0
		}
	}
}
