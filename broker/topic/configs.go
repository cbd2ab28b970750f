package topic

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage"
)

// Resource says whose configs are meant.
type Resource struct {
	Broker bool // else a topic
	// Name is the name of the topic or the id of the broker; empty with Broker
	// for the default of all brokers.
	Name string
}

// Op is what becomes of one config.
type Op int8

// The operations, by the numbers that they have in Kafka's protocol.
const (
	Set      Op = 0
	Delete   Op = 1 // back to the default
	Append   Op = 2 // add to a list
	Subtract Op = 3 // take from a list
)

// ConfigOp is an operation on one config. All but Delete need a value.
type ConfigOp struct {
	Name  string
	Op    Op
	Value *string
}

// ConfigChange changes configs of one resource.
type ConfigChange struct {
	Resource
	// Replace drops the configs that Ops does not set, as the older AlterConfigs
	// does.
	Replace bool
	Ops     []ConfigOp
}

// AlterConfigs makes the changes that are valid and returns, for each, nil or
// why it is not made. What is made becomes durable together, or (with the
// second result) not at all. Broker configs hold from then on for everything
// that asks Config again.
func (c *Catalogue) AlterConfigs(changes []ConfigChange, validateOnly bool) (errs []error, err error) {
	errs = make([]error, len(changes))
	count := map[Resource]int{}
	for _, ch := range changes {
		count[ch.Resource]++
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.begin()
	for i, ch := range changes {
		switch {
		case count[ch.Resource] > 1:
			errs[i] = refuse(kerr.InvalidRequest, "each resource may stand in a request once")
		case ch.Broker:
			errs[i] = c.alterBroker(e, ch)
		default:
			errs[i] = e.alterTopic(ch)
		}
	}
	if validateOnly {
		return errs, nil
	}
	return errs, c.commit(e)
}

func (e *edit) alterTopic(ch ConfigChange) error {
	if err := checkOps(ch.Ops); err != nil {
		return err
	}
	if ch.Name == "" {
		return refuse(kerr.InvalidRequest, "topics have no default resource: name a topic")
	}
	if err := CheckName(ch.Name); err != nil {
		return err
	}
	old := e.byName[ch.Name]
	var have map[string]string
	if old != nil {
		have = old.Configs
	}
	next, touched, err := apply(ch, have, func(name string) *config.Key {
		if d := Lookup(name); d != nil {
			return &d.Key
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.checkConfigs(next, touched); err != nil {
		return err
	}
	if old == nil { // only now, as Kafka looks at the configs first
		return refuse(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", ch.Name)
	}
	if policy := next["cleanup.policy"]; IsInternal(ch.Name) && policy != "compact" {
		return refuse(kerr.InvalidConfig, "cleanup.policy of '%s' must stay compact, not '%s': the broker's own state is in it, and retention would delete what is still in use", ch.Name, policy)
	}
	if !maps.Equal(next, old.Configs) {
		t := *old
		t.Configs, t.Settings = orNil(next), e.settings(next)
		if err := checkKept(old, &t); err != nil {
			return err
		}
		e.put(&t)
	}
	return nil
}

// orNil makes an empty map nil, as it is after a restart.
func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// checkOps refuses what Kafka refuses before it looks at any config.
func checkOps(ops []ConfigOp) error {
	seen := map[string]bool{}
	var null []string
	for _, op := range ops {
		if seen[op.Name] {
			return refuse(kerr.InvalidRequest, "config %s stands in the request twice", op.Name)
		}
		seen[op.Name] = true
		if op.Op < Set || op.Op > Subtract {
			return refuse(kerr.InvalidRequest, "%d is no operation on a config", op.Op)
		}
		if op.Op != Delete && op.Value == nil {
			null = append(null, op.Name)
		}
	}
	if len(null) > 0 {
		return refuse(kerr.InvalidRequest, "a config must have a value: %s", strings.Join(null, ", "))
	}
	return nil
}

// apply works the operations out on the configs that are there. It returns the
// configs to be and the names that they set.
func apply(ch ConfigChange, have map[string]string, lookup func(string) *config.Key) (next map[string]string, touched []string, err error) {
	next = map[string]string{}
	if !ch.Replace {
		maps.Copy(next, have)
	}
	for _, op := range ch.Ops {
		switch op.Op {
		case Set:
			next[op.Name] = *op.Value
		case Delete:
			delete(next, op.Name)
			continue
		case Append, Subtract:
			k := lookup(op.Name)
			if k == nil || k.Type != config.List {
				return nil, nil, refuse(kerr.InvalidConfig, "%s is no list: nothing can be added to it or taken from it", op.Name)
			}
			old, ok := next[op.Name]
			if !ok {
				old = k.Default
			}
			next[op.Name] = editList(old, *op.Value, op.Op)
		}
		touched = append(touched, op.Name)
	}
	slices.Sort(touched)
	return next, touched, nil
}

// editList adds to a list or takes from it. Blanks around an entry are no part of
// it, as they are not where the list is used.
func editList(old, value string, op Op) string {
	list := strings.FieldsFunc(old, func(r rune) bool { return r == ',' })
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	for _, entry := range strings.Split(value, ",") {
		entry = strings.TrimSpace(entry)
		at := slices.Index(list, entry)
		switch {
		case op == Append && at < 0:
			list = append(list, entry)
		case op == Subtract && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return strings.Join(list, ",")
}

// checkConfigs checks the configs of a topic: the touched ones each by itself,
// and all together with the broker's defaults. It puts values in their
// canonical form.
func (e *edit) checkConfigs(configs map[string]string, touched []string) error {
	for _, name := range touched {
		d := Lookup(name)
		if d == nil {
			return refuse(kerr.InvalidConfig, "Unknown topic config name: %s", name)
		}
		value, err := checkValue(&d.Key, configs[name])
		if err != nil {
			return err
		}
		configs[name] = value
	}
	v := values{configs, e.config}
	if lo, hi := v.long("min.compaction.lag.ms"), v.long("max.compaction.lag.ms"); lo > hi {
		return refuse(kerr.InvalidConfig, "min.compaction.lag.ms (%d) must not be above max.compaction.lag.ms (%d)", lo, hi)
	}
	return nil
}

// checkValue returns the canonical form of a value.
func checkValue(k *config.Key, text string) (string, error) {
	value, err := k.Canonical(text)
	if err != nil {
		return "", refuse(kerr.InvalidConfig, "%s", err.Error())
	}
	return value, nil
}

func (c *Catalogue) alterBroker(e *edit, ch ConfigChange) error {
	if err := checkOps(ch.Ops); err != nil {
		return err
	}
	if err := c.checkBroker(ch.Name); err != nil {
		return err
	}
	have := e.dynamic.cluster
	if ch.Name != "" {
		have = e.dynamic.broker
	}
	next, touched, err := apply(ch, have, config.Lookup)
	if err != nil {
		return err
	}
	for _, name := range touched {
		value, err := checkDynamic(name, next[name], ch.Name != "")
		if err != nil {
			return err
		}
		next[name] = value
	}
	dyn := e.dynamic
	if ch.Name == "" {
		dyn.cluster = orNil(next)
	} else {
		dyn.broker = orNil(next)
	}
	cfg, err := c.static.With(dyn.over())
	if err != nil {
		return refuse(kerr.InvalidRequest, "the broker's configs would not be valid together: %s", err.Error())
	}
	if !maps.Equal(next, have) {
		e.reconfigure(dyn, cfg, configOp(c.storedName(ch.Name), next))
	}
	return nil
}

// storedName is the name under which configs of a broker are kept: its id in
// one way of writing.
func (c *Catalogue) storedName(name string) string {
	if name == "" {
		return ""
	}
	return c.brokerName()
}

// checkBroker refuses a broker resource that is neither this broker nor the
// default of all.
func (c *Catalogue) checkBroker(name string) error {
	if name == "" {
		return nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return refuse(kerr.InvalidRequest, "the id of a broker must be a whole number, not '%s'", name)
	}
	if int32(id) != c.static.NodeID {
		return refuse(kerr.InvalidRequest, "Unexpected broker id, expected %d, but received %s", c.static.NodeID, name)
	}
	return nil
}

// checkDynamic says whether a broker config may be set at run time, and returns
// its canonical value.
func checkDynamic(name, text string, perBroker bool) (string, error) {
	k := config.Lookup(name)
	switch {
	case k == nil:
		return "", refuse(kerr.InvalidConfig, "Unknown broker config name: %s", name)
	case k.Effect == config.Refused:
		return "", refuse(kerr.InvalidRequest, "%s cannot be set on this server: %s", name, k.Doc)
	case k.Update == config.Restart:
		return "", refuse(kerr.InvalidRequest, "%s cannot be changed at run time: set it in the config file and restart", name)
	case k.Update == config.PerBroker && !perBroker:
		return "", refuse(kerr.InvalidRequest, "%s can be set for one broker only: name its id", name)
	}
	value, err := checkValue(k, text)
	var refusal *Error
	if errors.As(err, &refusal) { // Kafka has this code for values of a broker
		refusal.Kafka = kerr.InvalidRequest
	}
	return value, err
}

// reconfigure gives the edit new broker configs, and the topics what follows.
func (e *edit) reconfigure(dyn dynamic, cfg *config.Config, op storage.Op) {
	e.dynamic, e.config = dyn, cfg
	before := e.defaults
	e.defaults = settings(nil, cfg)
	e.ops = append(e.ops, op)
	e.reconfigured = true
	if *before == *e.defaults {
		return
	}
	for name, old := range e.byName {
		next := e.settings(old.Configs)
		if *next == *old.Settings {
			continue
		}
		t := *old
		t.Settings = next
		e.byName[name], e.byID[t.ID] = &t, &t
		e.changes = append(e.changes, Change{Old: old, New: &t})
	}
}
