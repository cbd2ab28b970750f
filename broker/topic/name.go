package topic

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The topics that the broker keeps its own state in, by Kafka's names.
const (
	ConsumerOffsets  = "__consumer_offsets"
	TransactionState = "__transaction_state"
	shareGroupState  = "__share_group_state"
	// clusterMetadata is no topic that anyone may create: in Kafka it is the
	// controllers' own log.
	clusterMetadata = "__cluster_metadata"
)

// MaxNameBytes is the longest name of a topic.
const MaxNameBytes = 249

// IsInternal says whether a topic of this name belongs to the broker itself.
func IsInternal(name string) bool {
	return name == ConsumerOffsets || name == TransactionState || name == shareGroupState
}

// brokersOwn refuses to create, grow or delete a topic that holds the broker's own
// state: coordinators count its partitions, and every group would lose its
// offsets.
func brokersOwn(name string) error {
	return refuse(kerr.InvalidTopicException, "topic '%s' belongs to the broker, which creates it when it is needed; it can be neither created, grown nor deleted by hand", name)
}

// CheckName refuses what cannot be the name of a topic, with
// INVALID_TOPIC_EXCEPTION.
func CheckName(name string) error {
	why := ""
	switch {
	case name == "":
		why = "it is empty"
	case name == "." || name == "..":
		why = "'" + name + "' is not allowed"
	case len(name) > MaxNameBytes:
		why = "it is longer than 249 characters"
	case strings.IndexFunc(name, notInName) >= 0:
		why = "'" + name + "' has a character other than ASCII letters, digits, '.', '_' and '-'"
	default:
		return nil
	}
	return refuse(kerr.InvalidTopicException, "Topic name is invalid: %s", why)
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

// collides is the form in which two names that differ only in '.' and '_' are
// the same: metrics could not tell such topics apart.
func collides(name string) string { return strings.ReplaceAll(name, ".", "_") }
