package topic

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage"
)

// Catalogue is the list of topics, and the configs of the broker. Reading it
// takes no lock. Changes are made one after the other; each is durable before
// anyone sees it.
type Catalogue struct {
	meta      storage.Meta
	static    *config.Config // as given at the start, without dynamic configs
	now       func() time.Time
	newID     func() storage.TopicID
	clusterID string
	warnings  []string

	view atomic.Pointer[view]

	// mu is held by whoever changes something, also while the change is made
	// durable and the watchers are told.
	mu       sync.Mutex
	deleting map[storage.TopicID]Deletion
	watchers []func(Change)
	seers    []func(Change)
	onConfig []func(*config.Config)
}

// view is the state at one moment. It is never changed.
type view struct {
	byName     map[string]*Topic
	byID       map[storage.TopicID]*Topic
	collisions map[string]string // collides(name) -> one such name
	partitions int64             // of all topics together
	sorted     func() []*Topic
	dynamic    dynamic
	config     *config.Config // static, with dynamic over it
	defaults   *Settings      // of topics without configs of their own
}

// Deletion is a topic that is deleted but whose log is still to be dropped.
type Deletion struct {
	ID         storage.TopicID
	Name       string
	Partitions int32
	At         time.Time
}

// Change tells a watcher what has changed of a topic: Old is nil when it is
// new, New is nil when it is gone; one of them is always there.
type Change struct {
	Old, New *Topic
}

// Options are what Open can be told beyond the config; all may be left zero.
type Options struct {
	Now   func() time.Time
	NewID func() storage.TopicID
}

// Open reads the catalogue that is kept in meta. At the first start it makes
// the cluster id, unless the config gives one.
func Open(meta storage.Meta, cfg *config.Config, opts Options) (*Catalogue, error) {
	c := &Catalogue{meta: meta, static: cfg, now: opts.Now, newID: opts.NewID, deleting: map[storage.TopicID]Deletion{}}
	if c.now == nil {
		c.now = time.Now
	}
	if c.newID == nil {
		c.newID = newID
	}
	if err := c.openCluster(cfg.ClusterID); err != nil {
		return nil, err
	}
	dyn, err := c.openConfigs()
	if err != nil {
		return nil, err
	}
	v := &view{byName: map[string]*Topic{}, byID: map[storage.TopicID]*Topic{}}
	v.config, v.dynamic = c.tolerant(dyn)
	v.defaults = settings(nil, v.config)
	err = meta.Scan(topicPrefix, func(key string, value []byte) error {
		t, err := decodeTopic(key, value)
		if err != nil {
			return err
		}
		if t.Stream != nil && t.Stream.kept {
			if err := t.readStream(meta); err != nil {
				return err
			}
		}
		t.Configs = c.known(t)
		t.Settings = v.settings(t.Configs)
		v.byName[t.Name], v.byID[t.ID] = t, t
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = meta.Scan(deletingPrefix, func(key string, value []byte) error {
		d, err := decodeDeletion(key, value)
		if err == nil {
			c.deleting[d.ID] = *d
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	v.index()
	c.view.Store(v)
	return c, nil
}

// openCluster finds or makes the cluster's id.
func (c *Catalogue) openCluster(given string) error {
	value, ok, err := c.meta.Get(clusterKey)
	if err != nil {
		return fmt.Errorf("read the cluster id: %w", err)
	}
	if ok {
		var doc clusterDoc
		if err := decode(clusterKey, value, &doc, docVersion); err != nil {
			return err
		}
		if given != "" && given != doc.ClusterID {
			return fmt.Errorf("cluster.id is %s, but this data directory belongs to cluster %s: unset cluster.id or use another data.dir", given, doc.ClusterID)
		}
		c.clusterID = doc.ClusterID
		return nil
	}
	c.clusterID = given
	if given == "" {
		c.clusterID = FormatID(c.newID())
	}
	doc := clusterDoc{docVersion, c.clusterID, c.now().UnixMilli()}
	if err := c.meta.Apply(put(clusterKey, doc)); err != nil {
		return fmt.Errorf("keep the cluster id: %w", err)
	}
	return nil
}

// known returns the configs of a stored topic that this release understands.
// A value that is not valid any more is left out, and said so, rather than
// keeping the whole broker from starting.
func (c *Catalogue) known(t *Topic) map[string]string {
	out := maps.Clone(t.Configs)
	for name, text := range t.Configs {
		d := Lookup(name)
		if d == nil {
			c.warnings = append(c.warnings, fmt.Sprintf("topic %s: unknown config %s is ignored", t.Name, name))
			delete(out, name)
		} else if _, err := d.Parse(text); err != nil {
			c.warnings = append(c.warnings, fmt.Sprintf("topic %s: %v: it is ignored", t.Name, err))
			delete(out, name)
		}
	}
	return orNil(out)
}

// Warnings says what Open found in the store and could not use.
func (c *Catalogue) Warnings() []string { return c.warnings }

// ClusterID is the id of the cluster, as clients see it.
func (c *Catalogue) ClusterID() string { return c.clusterID }

// Config is the broker's config as it is now: ask for it again where a change
// at run time matters.
func (c *Catalogue) Config() *config.Config { return c.view.Load().config }

// Topic finds a topic by name, or returns nil.
func (c *Catalogue) Topic(name string) *Topic { return c.view.Load().byName[name] }

// TopicByID finds a topic by its id, or returns nil.
func (c *Catalogue) TopicByID(id storage.TopicID) *Topic { return c.view.Load().byID[id] }

// Topics returns all topics in order of their names. The slice is shared: it
// must not be changed.
func (c *Catalogue) Topics() []*Topic { return c.view.Load().sorted() }

// Partitions is the number of partitions of all topics together.
func (c *Catalogue) Partitions() int64 { return c.view.Load().partitions }

// Deleting lists the deleted topics whose log is still to be dropped, in no
// particular order. After a crash, it is what a deletion left to do.
func (c *Catalogue) Deleting() []Deletion {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.deleting))
}

// Watch calls fn for every change of a topic from now on, one at a time and in
// order, when the change is durable and before the call that made it returns. A
// topic that is new or changed is reported before anyone can see it in the
// catalogue, one that is gone after nobody can. A topic whose settings follow
// from the broker's config changes with it. fn must not change the catalogue,
// and should be quick: other changes wait for it.
func (c *Catalogue) Watch(fn func(Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers = append(c.watchers, fn)
}

// WatchSeen is Watch for those who tell others to look at the catalogue: every
// change is reported once it can be seen there.
func (c *Catalogue) WatchSeen(fn func(Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seers = append(c.seers, fn)
}

// WatchConfig calls fn with the broker's config whenever it has changed, when
// that is durable and can be seen; otherwise as with Watch.
func (c *Catalogue) WatchConfig(fn func(*config.Config)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onConfig = append(c.onConfig, fn)
}

// index fills what follows from byName.
func (v *view) index() {
	v.collisions = map[string]string{}
	v.partitions = 0
	for name, t := range v.byName {
		v.partitions += int64(t.Partitions)
		if strings.ContainsAny(name, "._") {
			v.collisions[collides(name)] = name
		}
	}
	v.sortLater()
}

// sortLater makes the sorted list when someone first asks for it.
func (v *view) sortLater() {
	v.sorted = sync.OnceValue(func() []*Topic {
		return slices.SortedFunc(maps.Values(v.byName), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	})
}

// settings are what holds for a topic with these configs; topics without any
// share one value.
func (v *view) settings(own map[string]string) *Settings {
	if len(own) == 0 {
		return v.defaults
	}
	return settings(own, v.config)
}

// edit is a change in the making. It starts as a copy of the view; whoever
// makes it holds mu from begin to the end.
type edit struct {
	*view
	ops       []storage.Op
	changes   []Change
	deletions []Deletion
	// reconfigured is set when the broker's config changes.
	reconfigured bool
}

func (c *Catalogue) begin() *edit {
	old := c.view.Load()
	v := *old
	v.byName, v.byID = maps.Clone(old.byName), maps.Clone(old.byID)
	v.collisions = maps.Clone(old.collisions)
	return &edit{view: &v}
}

// put adds a topic or takes the place of the one with its name.
func (e *edit) put(t *Topic) {
	old := e.byName[t.Name]
	if old != nil {
		e.partitions -= int64(old.Partitions)
	}
	e.byName[t.Name], e.byID[t.ID] = t, t
	e.partitions += int64(t.Partitions)
	if strings.ContainsAny(t.Name, "._") {
		e.collisions[collides(t.Name)] = t.Name
	}
	e.ops = append(e.ops, t.op())
	if t.Stream != nil && t.Stream.kept && (old == nil || old.Stream != t.Stream) {
		e.ops = append(e.ops, t.streamOp())
	}
	e.changes = append(e.changes, Change{Old: old, New: t})
}

// remove takes a topic out and notes that its log is to be dropped.
func (e *edit) remove(t *Topic, at time.Time) {
	delete(e.byName, t.Name)
	delete(e.byID, t.ID)
	d := Deletion{t.ID, t.Name, t.Partitions, at}
	e.deletions = append(e.deletions, d)
	e.ops = append(e.ops, storage.Op{Key: topicPrefix + t.Name}, d.op())
	if t.Stream != nil && t.Stream.kept {
		e.ops = append(e.ops, storage.Op{Key: streamPrefix + t.Name})
	}
	e.changes = append(e.changes, Change{Old: t})
}

// commit makes the edit durable, tells the watchers, and lets everyone see it.
func (c *Catalogue) commit(e *edit) error {
	if len(e.ops) == 0 {
		return nil
	}
	if err := c.meta.Apply(e.ops...); err != nil {
		return storeError("keep a change of the catalogue", err)
	}
	if len(e.deletions) > 0 {
		e.index()
	}
	e.sortLater()
	for _, d := range e.deletions {
		c.deleting[d.ID] = d
	}
	// What is durable is to be seen, even if a watcher should panic.
	show := sync.OnceFunc(func() { c.view.Store(e.view) })
	defer show()
	tell := func(fns []func(Change), which func(Change) bool) {
		for _, ch := range e.changes {
			if !which(ch) {
				continue
			}
			for _, fn := range fns {
				fn(ch)
			}
		}
	}
	tell(c.watchers, func(ch Change) bool { return ch.New != nil })
	show()
	tell(c.watchers, func(ch Change) bool { return ch.New == nil })
	tell(c.seers, func(Change) bool { return true })
	if e.reconfigured {
		for _, fn := range c.onConfig {
			fn(e.config)
		}
	}
	return nil
}

// Forget notes that the log of a deleted topic is dropped.
func (c *Catalogue) Forget(id storage.TopicID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.deleting[id]; !ok {
		return nil
	}
	if err := c.meta.Apply(storage.Op{Key: deletingPrefix + id.String()}); err != nil {
		return storeError(fmt.Sprintf("forget the deleted topic %s", id), err)
	}
	delete(c.deleting, id)
	return nil
}

// dynamic holds the broker configs that were changed at run time, by name.
type dynamic struct {
	cluster, broker map[string]string
}

// over is what of d holds, to be set over the static config.
func (d dynamic) over() map[string]string {
	out := maps.Clone(d.cluster)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, d.broker)
	return out
}

func (c *Catalogue) openConfigs() (d dynamic, err error) {
	read := func(name string) (map[string]string, error) {
		value, ok, err := c.meta.Get(configPrefix + name)
		if err != nil || !ok {
			return nil, err
		}
		var doc configDoc
		err = decode(configPrefix+name, value, &doc, docVersion)
		return doc.Configs, err
	}
	var errs [2]error
	d.cluster, errs[0] = read("")
	d.broker, errs[1] = read(c.brokerName())
	if err := errors.Join(errs[:]...); err != nil {
		return d, fmt.Errorf("read the dynamic broker configs: %w", err)
	}
	return d, nil
}

func (c *Catalogue) brokerName() string { return strconv.Itoa(int(c.static.NodeID)) }

// tolerant sets stored dynamic configs over the static ones and leaves out,
// with a warning, what does not fit any more.
func (c *Catalogue) tolerant(d dynamic) (*config.Config, dynamic) {
	over := d.over()
	if cfg, err := c.static.With(over); err == nil {
		return cfg, d
	}
	cfg := c.static
	for _, name := range slices.Sorted(maps.Keys(over)) {
		next, err := cfg.With(map[string]string{name: over[name]})
		if err != nil {
			c.warnings = append(c.warnings, fmt.Sprintf("dynamic broker config %s is ignored: %v", name, err))
			delete(d.cluster, name)
			delete(d.broker, name)
			continue
		}
		cfg = next
	}
	return cfg, d
}
