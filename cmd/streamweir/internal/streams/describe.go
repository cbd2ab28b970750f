package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// Description is what there is to know about a stream.
type Description struct {
	Summary
	RetentionHours int32             `json:"retention_hours"`
	MaxRecordBytes *int64            `json:"max_record_bytes"`
	Encryption     string            `json:"encryption"`
	OpenShards     int32             `json:"open_shards"`
	Tags           map[string]string `json:"tags"`
	Consumers      []Consumer        `json:"consumers"`
	Rates          *Rates            `json:"rates"`
	Shards         []Shard           `json:"shards"`
}

// Consumer is registered for enhanced fan-out.
type Consumer struct {
	Name    string `json:"name"`
	ARN     string `json:"arn"`
	Status  string `json:"status"`
	Created int64  `json:"created"`
}

// Shard is one shard of a stream, open or closed.
type Shard struct {
	ID            string   `json:"shard"`
	State         string   `json:"state"` // open or closed
	StartHash     string   `json:"start_hash_key"`
	EndHash       string   `json:"end_hash_key"`
	Parents       []string `json:"parents"`
	StartSequence string   `json:"start_sequence_number"`
	EndSequence   *string  `json:"end_sequence_number"` // nil while open
	Rates         *Rates   `json:"rates"`
}

// The states of a shard.
const (
	shardOpen   = "open"
	shardClosed = "closed"
)

// Described is what there is to tell about several streams.
type Described struct {
	List   []Description
	Failed []error // why some cannot be described
	Rates  error   // why none have rates
}

// Describe returns the descriptions of streams. They have rates where the
// server's metrics can be had.
func Describe(ctx context.Context, c *Client, names []string, metrics Metrics) (*Described, error) {
	measured, ratesErr := metrics.fetch(ctx)
	out := &Described{List: make([]Description, 0, len(names)), Rates: ratesErr}
	for _, name := range names {
		d, err := describe(ctx, c, name)
		if err != nil {
			err = fmt.Errorf("stream %q: %w", name, err)
			var unreachable *client.UnreachableError
			if errors.As(err, &unreachable) || ctx.Err() != nil {
				return nil, err
			}
			out.Failed = append(out.Failed, err)
			continue
		}
		d.Rates = measured.of(name, "")
		for i := range d.Shards {
			d.Shards[i].Rates = measured.of(name, d.Shards[i].ID)
		}
		out.List = append(out.List, *d)
	}
	return out, nil
}

func describe(ctx context.Context, c *Client, name string) (*Description, error) {
	s, err := summary(ctx, c, name)
	if err != nil {
		return nil, err
	}
	d := &Description{
		Summary: Summary{
			Name: name, ARN: aws.ToString(s.StreamARN), Status: string(s.StreamStatus), Mode: mode(s.StreamModeDetails),
			Created: aws.ToTime(s.StreamCreationTimestamp).UnixMilli(),
		},
		RetentionHours: aws.ToInt32(s.RetentionPeriodHours), Encryption: string(s.EncryptionType),
		OpenShards: aws.ToInt32(s.OpenShardCount), Tags: map[string]string{}, Consumers: []Consumer{},
	}
	if s.MaxRecordSizeInKiB != nil {
		limit := int64(*s.MaxRecordSizeInKiB) << 10
		d.MaxRecordBytes = &limit
	}
	shards, err := listShards(ctx, c, name)
	if err != nil {
		return nil, err
	}
	for _, sh := range shards {
		d.Shards = append(d.Shards, newShard(sh))
	}
	if err := d.addConsumers(ctx, c); err != nil {
		return nil, err
	}
	return d, d.addTags(ctx, c)
}

func summary(ctx context.Context, c *Client, name string) (*types.StreamDescriptionSummary, error) {
	out, err := call(ctx, c, c.DescribeStreamSummary, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		return nil, err
	}
	return out.StreamDescriptionSummary, nil
}

// listShards returns all shards, open and closed, in the order of their ids.
func listShards(ctx context.Context, c *Client, name string) ([]types.Shard, error) {
	var all []types.Shard
	in := &kinesis.ListShardsInput{StreamName: &name}
	for {
		out, err := call(ctx, c, c.ListShards, in)
		if err != nil {
			return nil, fmt.Errorf("list shards: %w", err)
		}
		all = append(all, out.Shards...)
		if out.NextToken == nil {
			return all, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

func newShard(s types.Shard) Shard {
	one := Shard{ID: aws.ToString(s.ShardId), State: shardOpen, Parents: parents(s)}
	if r := s.HashKeyRange; r != nil {
		one.StartHash, one.EndHash = aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey)
	}
	if r := s.SequenceNumberRange; r != nil {
		one.StartSequence, one.EndSequence = aws.ToString(r.StartingSequenceNumber), r.EndingSequenceNumber
	}
	if one.EndSequence != nil {
		one.State = shardClosed
	}
	return one
}

func parents(s types.Shard) []string {
	list := []string{}
	for _, p := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
		if p != nil {
			list = append(list, *p)
		}
	}
	return list
}

func (d *Description) addConsumers(ctx context.Context, c *Client) error {
	in := &kinesis.ListStreamConsumersInput{StreamARN: &d.ARN}
	for {
		out, err := call(ctx, c, c.ListStreamConsumers, in)
		if err != nil {
			return fmt.Errorf("list consumers: %w", err)
		}
		for _, one := range out.Consumers {
			d.Consumers = append(d.Consumers, Consumer{
				Name: aws.ToString(one.ConsumerName), ARN: aws.ToString(one.ConsumerARN), Status: string(one.ConsumerStatus),
				Created: aws.ToTime(one.ConsumerCreationTimestamp).UnixMilli(),
			})
		}
		if out.NextToken == nil {
			return nil
		}
		in = &kinesis.ListStreamConsumersInput{StreamARN: &d.ARN, NextToken: out.NextToken}
	}
}

func (d *Description) addTags(ctx context.Context, c *Client) error {
	in := &kinesis.ListTagsForStreamInput{StreamName: &d.Name}
	for {
		out, err := call(ctx, c, c.ListTagsForStream, in)
		if err != nil {
			return fmt.Errorf("list tags: %w", err)
		}
		last := ""
		for _, tag := range out.Tags {
			last = aws.ToString(tag.Key)
			d.Tags[last] = aws.ToString(tag.Value)
		}
		if !aws.ToBool(out.HasMoreTags) || last == "" {
			return nil
		}
		in = &kinesis.ListTagsForStreamInput{StreamName: &d.Name, ExclusiveStartTagKey: &last}
	}
}

// PrintDescriptions prints streams with their consumers and shards.
func PrintDescriptions(w io.Writer, format output.Format, list []Description) error {
	return output.WriteEach(w, format, list, printDescription)
}

func printDescription(w io.Writer, d Description) error {
	head := [][2]string{
		{"Stream", d.Name},
		{"ARN", d.ARN},
		{"Status", d.Status},
		{"Mode", d.Mode},
		{"Created", timestamp(d.Created)},
		{"Retention", output.Plural(int64(d.RetentionHours), "hour")},
		{"Encryption", d.Encryption},
		{"Open shards", output.Int(d.OpenShards)},
	}
	if d.MaxRecordBytes != nil {
		head = append(head, [2]string{"Record size", "up to " + output.Size(*d.MaxRecordBytes)})
	}
	if d.Rates != nil {
		head = append(head, [2]string{"Incoming", d.Rates.sentence()})
	}
	for _, key := range slices.Sorted(maps.Keys(d.Tags)) {
		head = append(head, [2]string{"Tag", key + "=" + d.Tags[key]})
	}
	for _, line := range head {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", line[0]+":", output.Printable(line[1])); err != nil {
			return err
		}
	}
	if len(d.Consumers) > 0 {
		grid := output.NewGrid("CONSUMER", "STATUS", "CREATED")
		for _, one := range d.Consumers {
			grid.Row(one.Name, one.Status, timestamp(one.Created))
		}
		if err := printGrid(w, grid); err != nil {
			return err
		}
	}
	grid := output.NewGrid("SHARD", "STATE", "START HASH KEY", "END HASH KEY", "PARENTS", "RECORDS/S", "BYTES/S")
	for _, s := range d.Shards {
		records, bytes := s.Rates.cells()
		grid.Row(s.ID, s.State, s.StartHash, s.EndHash, strings.Join(s.Parents, ","), records, bytes)
	}
	return printGrid(w, grid)
}

// printGrid prints a table after an empty line.
func printGrid(w io.Writer, grid *output.Grid) error {
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	_, err := grid.WriteTo(w)
	return err
}

func timestamp(ms int64) string {
	if ms <= 0 {
		return ""
	}
	return output.Timestamp(time.UnixMilli(ms))
}
