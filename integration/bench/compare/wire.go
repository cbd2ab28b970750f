package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions that every system here serves; produce and fetch name topics, not ids.
const (
	produceVersion      = 9
	fetchVersion        = 12
	createTopicsVersion = 5
	metadataVersion     = 9
	listOffsetsVersion  = 6
)

const (
	readBuffer     = 4 << 10 // small: what is fetched is thrown away past it, see discard
	maxResponse    = 1 << 20 // of a response that is read as a whole
	requestTimeout = 30 * time.Second
	correlationAt  = 8 // where the correlation id stands in a request, after length, key and version
	topicWithin    = 30 * time.Second
	topicPoll      = 5 * time.Millisecond
)

// conn is one connection used by one goroutine.
type conn struct {
	net.Conn
	tcp     *net.TCPConn // the same
	in      *bufio.Reader
	body    []byte // of the last response read as a whole
	next    int32  // correlation id of the next round trip
	release func() bool
}

// dial connects; when ctx ends, whatever the connection is doing fails.
func dial(ctx context.Context, addr string) (*conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%s is not reached over TCP", addr)
	}
	return &conn{
		tcp:     tcp,
		Conn:    c,
		in:      bufio.NewReaderSize(c, readBuffer),
		release: context.AfterFunc(ctx, func() { c.Close() }),
	}, nil
}

func (c *conn) close() {
	c.release()
	c.Close()
}

// send writes an encoded request with its correlation id set.
func (c *conn) send(frame []byte, correlation int32) error {
	binary.BigEndian.PutUint32(frame[correlationAt:], uint32(correlation))
	_, err := c.Write(frame)
	return err
}

// receiveHeader reads a response's length and correlation id and returns the
// length of what follows.
func (c *conn) receiveHeader(correlation int32) (int, error) {
	head, err := c.in.Peek(8)
	if err != nil {
		return 0, fmt.Errorf("read a response: %w", err)
	}
	length, got := int32(binary.BigEndian.Uint32(head)), int32(binary.BigEndian.Uint32(head[4:]))
	if length < 4 {
		return 0, fmt.Errorf("a response claims to be %d bytes long", length)
	}
	if got != correlation {
		return 0, fmt.Errorf("response %d came where %d was due", got, correlation)
	}
	if _, err := c.in.Discard(len(head)); err != nil {
		return 0, err
	}
	return int(length) - 4, nil
}

// discard throws away the next n bytes: those already read, then the rest
// without bringing them into this process where the system can do that.
func (c *conn) discard(n int) error {
	buffered := min(n, c.in.Buffered())
	if _, err := c.in.Discard(buffered); err != nil {
		return err
	}
	if n == buffered {
		return nil
	}
	if err := dropBytes(c.tcp, n-buffered); err != nil {
		return fmt.Errorf("read a response: %w", err)
	}
	return nil
}

// receive reads a whole response into resp.
func (c *conn) receive(resp kmsg.Response, correlation int32) error {
	length, err := c.receiveHeader(correlation)
	if err != nil {
		return err
	}
	if length > maxResponse {
		return fmt.Errorf("a response to %s is %d bytes long, at most %d expected", kmsg.NameForKey(resp.Key()), length, maxResponse)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	body := c.body[:length]
	if _, err := io.ReadFull(c.in, body); err != nil {
		return fmt.Errorf("read the response to %s: %w", kmsg.NameForKey(resp.Key()), err)
	}
	if resp.IsFlexible() {
		reader := kbin.Reader{Src: body}
		kmsg.SkipTags(&reader)
		if err := reader.Complete(); err != nil {
			return fmt.Errorf("read the response to %s: %w", kmsg.NameForKey(resp.Key()), err)
		}
		body = reader.Src
	}
	if err := resp.ReadFrom(body); err != nil {
		return fmt.Errorf("decode the response to %s: %w", kmsg.NameForKey(resp.Key()), err)
	}
	return nil
}

// encode makes the frame of a request.
func encode(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("compare")).AppendRequest(nil, req, 0)
}

// roundTrip sends one request and waits for its response.
func (c *conn) roundTrip(req kmsg.Request) (kmsg.Response, error) {
	c.next++
	if err := c.send(encode(req), c.next); err != nil {
		return nil, fmt.Errorf("send %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, c.receive(resp, c.next)
}

// createTopic creates a topic unless it is there, and waits until each of its
// partitions has a leader.
func (c *conn) createTopic(name string, partitions int32) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = createTopicsVersion
	req.TimeoutMillis = int32(requestTimeout.Milliseconds())
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	req.Topics = append(req.Topics, topic)
	resp, err := c.roundTrip(req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	deadline := time.NewTimer(topicWithin)
	defer deadline.Stop()
	poll := time.NewTicker(topicPoll)
	defer poll.Stop()
	for {
		err := c.topicReady(name, partitions)
		if err == nil {
			return nil
		}
		select {
		case <-deadline.C:
			return fmt.Errorf("topic %s is not ready after %v: %w", name, topicWithin, err)
		case <-poll.C:
		}
	}
}

func (c *conn) topicReady(name string, partitions int32) error {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = metadataVersion
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(name)
	req.Topics = append(req.Topics, topic)
	resp, err := c.roundTrip(req)
	if err != nil {
		return err
	}
	topics := resp.(*kmsg.MetadataResponse).Topics
	if len(topics) != 1 {
		return fmt.Errorf("metadata of %s names %d topics", name, len(topics))
	}
	if err := kerr.ErrorForCode(topics[0].ErrorCode); err != nil {
		return fmt.Errorf("metadata of %s: %w", name, err)
	}
	if got := len(topics[0].Partitions); got != int(partitions) {
		return fmt.Errorf("%s has %d partitions, not %d", name, got, partitions)
	}
	for _, p := range topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return fmt.Errorf("metadata of %s-%d: %w", name, p.Partition, err)
		}
		if p.Leader < 0 {
			return fmt.Errorf("%s-%d has no leader", name, p.Partition)
		}
	}
	// A broker may name itself as the leader before it is ready to be one.
	_, err = c.logEnds(name, int(partitions))
	return err
}

// logEnds asks for the end offset of each partition.
func (c *conn) logEnds(topic string, partitions int) (map[int32]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = listOffsetsVersion
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = int32(p), -1
		t.Partitions = append(t.Partitions, partition)
	}
	req.Topics = append(req.Topics, t)
	resp, err := c.roundTrip(req)
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("end offset of %s-%d: %w", topic, p.Partition, err)
			}
			ends[p.Partition] = p.Offset
		}
	}
	if len(ends) != partitions {
		return nil, fmt.Errorf("end offsets of %s came for %d partitions of %d", topic, len(ends), partitions)
	}
	return ends, nil
}
