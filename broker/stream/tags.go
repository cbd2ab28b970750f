package stream

import (
	"maps"
	"strings"
	"unicode"

	"github.com/streamweir/streamweir/broker/topic"
)

const maxTags = 50 // of a stream or consumer

// AddTags adds tags to a stream, or overwrites them.
func (m *Manager) AddTags(t *topic.Topic, tags map[string]string) error {
	return m.addTags(resource{t: t}, tags)
}

// RemoveTags removes tags of a stream; those that it does not have are passed over.
func (m *Manager) RemoveTags(t *topic.Topic, keys []string) error {
	return m.removeTags(resource{t: t}, keys)
}

// TagResource is AddTags for the stream or consumer with this ARN.
func (m *Manager) TagResource(arn string, tags map[string]string) error {
	r, err := m.resource(arn)
	if err != nil {
		return err
	}
	return m.addTags(r, tags)
}

// UntagResource is RemoveTags for the stream or consumer with this ARN.
func (m *Manager) UntagResource(arn string, keys []string) error {
	r, err := m.resource(arn)
	if err != nil {
		return err
	}
	return m.removeTags(r, keys)
}

// Tags are the tags of the stream or consumer with this ARN. They must not be
// changed.
func (m *Manager) Tags(arn string) (map[string]string, error) {
	r, err := m.resource(arn)
	if err != nil {
		return nil, err
	}
	return r.tags(), nil
}

func (m *Manager) addTags(r resource, tags map[string]string) error {
	return m.setTags(r, func(have map[string]string) error {
		if err := checkTags(tags, have, r.name(), m.o.Account); err != nil {
			return err
		}
		maps.Copy(have, tags)
		return nil
	})
}

func (m *Manager) removeTags(r resource, keys []string) error {
	for _, key := range keys {
		if !validTag(key) {
			return errTagCharacters()
		}
	}
	return m.setTags(r, func(have map[string]string) error {
		for _, key := range keys {
			delete(have, key)
		}
		return nil
	})
}

func errTagCharacters() error {
	return Errorf(InvalidArgument, "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . : / = + - @.")
}

// checkTags refuses tags that cannot be added to those that a resource has.
func checkTags(tags, have map[string]string, resource, account string) error {
	total := len(have)
	for key, value := range tags {
		if !validTag(key) || !validTag(value) {
			return errTagCharacters()
		}
		if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
			return Errorf(InvalidArgument, "Tag keys that begin with aws: are reserved for AWS.")
		}
		if _, ok := have[key]; !ok {
			total++
		}
	}
	if total > maxTags {
		return Errorf(InvalidArgument, "Failed to add tags to %s under account %s because it cannot have more than %d tags associated with it.", resource, account, maxTags)
	}
	return nil
}

func validTag(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("_.:/=+-@", r)
	}) < 0
}
