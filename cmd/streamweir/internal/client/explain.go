package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// UnreachableError says that no broker answered. Its exit status differs from
// that of a refused request, so that a script can wait for a broker.
type UnreachableError struct {
	text string
	err  error
}

// NewUnreachable returns an UnreachableError with this text.
func NewUnreachable(text string, err error) *UnreachableError {
	return &UnreachableError{text: text, err: err}
}

func (e *UnreachableError) Error() string { return e.text }
func (e *UnreachableError) Unwrap() error { return e.err }

// Explain turns an error of the connection or of the protocol into a sentence
// for the user. Errors that are neither pass through.
func (c *Cluster) Explain(err error) error {
	var done *UnreachableError
	if err == nil || errors.As(err, &done) || errors.Is(err, context.Canceled) {
		return err
	}
	if text := c.unreachable(err); text != "" {
		return &UnreachableError{text: text, err: err}
	}
	return Plain(err)
}

// noBroker explains why the first exchange with a cluster failed. What is neither
// of the network nor of the protocol is an answer that is not Kafka's.
func (c *Cluster) noBroker(err error) error {
	err = c.Explain(err)
	var unreachable *UnreachableError
	var code *codeError
	if errors.As(err, &unreachable) || errors.As(err, &code) || errors.Is(err, context.Canceled) {
		return err
	}
	servers, _ := c.cfg.Servers()
	return NewUnreachable(fmt.Sprintf("cannot reach a broker at %s: %v", strings.Join(servers, ", "), err), err)
}

// unreachable words an error of the network, or returns "".
func (c *Cluster) unreachable(err error) string {
	servers, _ := c.cfg.Servers()
	at := strings.Join(servers, ", ")
	whom := "cannot reach a broker at " + at
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil && len(servers) > 0 && !c.isSeed(op.Addr.String(), servers) {
		whom = fmt.Sprintf("a broker answered at %s, but the cluster names %s as one of its addresses (advertised.listeners), which cannot be reached from here", at, op.Addr)
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("cannot reach a broker at %s: the host name %q does not resolve (%s)", at, dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return whom + ": connection refused; is `streamweir serve` running?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return whom + ": no route to it"
	case errors.Is(err, context.DeadlineExceeded), op != nil && op.Timeout():
		return fmt.Sprintf("the broker at %s did not answer within %s (--timeout)", at, c.cfg.Timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, kgo.ErrClientClosed) && op != nil:
		return fmt.Sprintf("the server at %s closed the connection: is it a Kafka listener, and is it one without TLS?", at)
	case op != nil:
		return whom + ": " + op.Err.Error()
	}
	return ""
}

// isSeed says whether addr is one of the servers that the user named. Names
// are compared by what they resolve to only in the case of localhost, which
// needs no resolver.
func (c *Cluster) isSeed(addr string, servers []string) bool {
	for _, server := range servers {
		host, port, err := net.SplitHostPort(server)
		if err != nil {
			continue
		}
		ip := net.ParseIP(host)
		_, dialed, err := net.SplitHostPort(addr)
		if err == nil && dialed == port && (ip == nil || server == addr) {
			return true
		}
	}
	return slices.Contains(servers, addr)
}

// sentences replaces the protocol's own words where they say too little.
var sentences = map[*kerr.Error]string{
	kerr.UnknownTopicOrPartition:            "no such topic or partition",
	kerr.UnknownTopicID:                     "the topic was deleted meanwhile",
	kerr.TopicAlreadyExists:                 "a topic of this name exists already",
	kerr.InvalidTopicException:              "the name is not allowed for a topic: use 1 to 249 of the characters a-z A-Z 0-9 . _ -",
	kerr.InvalidPartitions:                  "this number of partitions is not allowed",
	kerr.InvalidReplicationFactor:           "the replication factor is above the number of brokers",
	kerr.InvalidConfig:                      "a config value is not allowed",
	kerr.MessageTooLarge:                    "the record is larger than the topic's max.message.bytes",
	kerr.RecordListTooLarge:                 "the batch is larger than the broker accepts",
	kerr.GroupIDNotFound:                    "no such group",
	kerr.NonEmptyGroup:                      "the group has active members; stop them first",
	kerr.GroupAuthorizationFailed:           "not authorized for this group",
	kerr.TopicAuthorizationFailed:           "not authorized for this topic",
	kerr.ClusterAuthorizationFailed:         "not authorized for the cluster",
	kerr.TransactionalIDAuthorizationFailed: "not authorized for this transactional id",
	kerr.OffsetOutOfRange:                   "the offset is outside what the partition holds",
	kerr.NotEnoughReplicas:                  "fewer replicas are in sync than min.insync.replicas asks for",
	kerr.CorruptMessage:                     "the batch arrived damaged (CRC)",
	kerr.CoordinatorNotAvailable:            "the group's coordinator is not available yet; try again",
	kerr.InvalidGroupID:                     "the group name is not allowed",
	kerr.KafkaStorageError:                  "the broker cannot write to its disk; see the broker's log",
	kerr.PolicyViolation:                    "a policy of the broker forbids it",
	kerr.InvalidTimestamp:                   "the record's timestamp is outside what the topic allows (message.timestamp.*)",
}

// Plain words a protocol error: the sentence for a person and the code that
// documentation and other tools use.
func Plain(err error) error {
	var ke *kerr.Error
	if !errors.As(err, &ke) {
		return err
	}
	text, ok := sentences[ke]
	if !ok {
		text = strings.TrimSuffix(ke.Description, ".")
	}
	return &codeError{text: fmt.Sprintf("%s (%s)", text, ke.Message), err: err}
}

type codeError struct {
	text string
	err  error
}

func (e *codeError) Error() string { return e.text }
func (e *codeError) Unwrap() error { return e.err }

// WithDetail words a protocol error and adds what the broker said about it.
func WithDetail(err error, detail string) error {
	if err == nil {
		return nil
	}
	plain := Plain(err)
	var ke *kerr.Error
	detail = strings.TrimSpace(detail)
	if detail == "" || errors.As(err, &ke) && strings.EqualFold(detail, ke.Description) {
		return plain
	}
	if ke != nil {
		return &codeError{text: fmt.Sprintf("%s (%s)", strings.TrimSuffix(detail, "."), ke.Message), err: err}
	}
	return fmt.Errorf("%w: %s", plain, detail)
}
