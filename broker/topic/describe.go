package topic

import (
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/config"
)

// Source says where the value of a config comes from, by the numbers that
// Kafka's DescribeConfigs puts on the wire.
type Source int8

// The sources of values.
const (
	FromTopic          Source = 1 // set for the topic
	FromDynamicBroker  Source = 2 // set at run time for this broker
	FromDynamicDefault Source = 3 // set at run time for all brokers
	FromStaticBroker   Source = 4 // in the config file, the environment or the flags
	FromDefault        Source = 5
)

// Entry describes one config of a topic or a broker. A nil Value is no value,
// or one that must not be shown.
type Entry struct {
	Name     string
	Value    *string
	Source   Source
	ReadOnly bool // not to be changed at run time
	Key      *config.Key
	Synonyms []EntrySynonym // all places that give a value, the one that holds first
}

// EntrySynonym is a place that gives a config a value.
type EntrySynonym struct {
	Name   string
	Value  *string
	Source Source
}

// DescribeTopic describes the configs of a topic, in order of name: those with
// these names, or all where there are no names.
func (c *Catalogue) DescribeTopic(t *Topic, names []string) []Entry {
	v := c.view.Load()
	wanted := among(names)
	var out []Entry
	for i := range Defs() {
		d := &Defs()[i]
		if !wanted(d.Name) {
			continue
		}
		e := Entry{Name: d.Name, Source: FromDefault, Key: &d.Key}
		own, set := t.Configs[d.Name]
		if set {
			e.Synonyms = append(e.Synonyms, EntrySynonym{d.Name, &own, FromTopic})
			e.Value = &own
		} else {
			value := d.brokerValue(v.config)
			e.Value = &value
		}
		if len(d.Synonyms) > 0 {
			e.Synonyms = append(e.Synonyms, c.synonyms(v, d.Synonyms[0].Name, d.synonymNames())...)
		}
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		out = append(out, e)
	}
	return out
}

// among says whether a name is one of names, or anything where there are none.
// The list may be as long as a client likes.
func among(names []string) func(string) bool {
	if len(names) == 0 {
		return func(string) bool { return true }
	}
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return func(name string) bool { return set[name] }
}

func (d *Def) synonymNames() []string {
	names := make([]string, len(d.Synonyms))
	for i, s := range d.Synonyms {
		names[i] = s.Name
	}
	return names
}

// synonyms lists the places that give a broker config a value, the one that
// holds first. As in Apache Kafka, the list begins with the first place that
// names the config itself: with only log.retention.hours set, that of
// log.retention.ms is empty.
func (c *Catalogue) synonyms(v *view, name string, names []string) []EntrySynonym {
	var out []EntrySynonym
	from := func(values map[string]string, source Source) {
		for _, n := range names {
			if value, ok := values[n]; ok {
				out = append(out, EntrySynonym{n, shown(config.Lookup(n), value), source})
			}
		}
	}
	from(v.dynamic.broker, FromDynamicBroker)
	from(v.dynamic.cluster, FromDynamicDefault)
	from(c.static.Given(), FromStaticBroker)
	for _, n := range names {
		if k := config.Lookup(n); k != nil && !k.Null {
			out = append(out, EntrySynonym{n, shown(k, k.Default), FromDefault})
		}
	}
	first := slices.IndexFunc(out, func(s EntrySynonym) bool { return s.Name == name })
	if first < 0 {
		return nil
	}
	return out[first:]
}

// shown is a value as it may be shown.
func shown(k *config.Key, value string) *string {
	if k != nil && k.Sensitive() {
		return nil
	}
	return &value
}

// DescribeBroker describes the configs of the broker of this id, or, where it
// is empty, those that were set at run time for all brokers; in order of name,
// those with these names, or all where there are no names.
func (c *Catalogue) DescribeBroker(id string, names []string) ([]Entry, error) {
	if err := c.checkBroker(id); err != nil {
		return nil, err
	}
	v := c.view.Load()
	wanted := among(names)
	var out []Entry
	add := func(k *config.Key, value *string) {
		if !wanted(k.Name) {
			return
		}
		e := Entry{Name: k.Name, Value: value, Source: FromDefault, Key: k, ReadOnly: k.Update == config.Restart || k.Effect == config.Refused}
		e.Synonyms = c.synonyms(v, k.Name, brokerSynonyms(k.Name))
		if id == "" {
			e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s EntrySynonym) bool { return s.Source != FromDynamicDefault })
		}
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		out = append(out, e)
	}
	if id == "" {
		for _, name := range slices.Sorted(maps.Keys(v.dynamic.cluster)) {
			k := config.Lookup(name)
			add(k, shown(k, v.dynamic.cluster[name]))
		}
		return out, nil
	}
	for i := range config.Keys() {
		k := &config.Keys()[i]
		var value *string
		if text, ok := v.config.Text(k.Name); ok {
			value = shown(k, text)
		}
		add(k, value)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// groups are broker settings that stand for each other in different units.
var groups = [][]string{
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
}

func brokerSynonyms(name string) []string {
	for _, g := range groups {
		if slices.Contains(g, name) {
			return g
		}
	}
	if name == "log.flush.interval.ms" {
		return []string{name, "log.flush.scheduler.interval.ms"}
	}
	return []string{name}
}

// Describable finds a topic for DescribeConfigs, or says why there is none.
func (c *Catalogue) Describable(name string) (*Topic, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if t := c.Topic(name); t != nil {
		return t, nil
	}
	return nil, refuse(kerr.UnknownTopicOrPartition, "there is no topic '%s'", name)
}
