package streams

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// Summary is one line of a list of streams.
type Summary struct {
	Name    string `json:"name"`
	ARN     string `json:"arn"`
	Status  string `json:"status"`
	Mode    string `json:"mode"`
	Created int64  `json:"created"` // milliseconds since 1970
}

// List returns all streams by name.
func List(ctx context.Context, c *Client) ([]Summary, error) {
	list := []Summary{}
	in := &kinesis.ListStreamsInput{}
	for {
		out, err := call(ctx, c, c.ListStreams, in)
		if err != nil {
			return nil, fmt.Errorf("list streams: %w", err)
		}
		for _, s := range out.StreamSummaries {
			one := Summary{Name: aws.ToString(s.StreamName), ARN: aws.ToString(s.StreamARN), Status: string(s.StreamStatus), Mode: mode(s.StreamModeDetails)}
			if s.StreamCreationTimestamp != nil {
				one.Created = s.StreamCreationTimestamp.UnixMilli()
			}
			list = append(list, one)
		}
		for _, name := range out.StreamNames[min(len(out.StreamSummaries), len(out.StreamNames)):] {
			list = append(list, Summary{Name: name}) // servers of old know no more of it here
		}
		if !aws.ToBool(out.HasMoreStreams) {
			return list, nil
		}
		if out.NextToken == nil && len(list) == 0 {
			return nil, fmt.Errorf("list streams: the server says that there are more, and not where they begin")
		}
		in = &kinesis.ListStreamsInput{NextToken: out.NextToken}
		if out.NextToken == nil {
			in.ExclusiveStartStreamName = &list[len(list)-1].Name
		}
	}
}

// The modes of capacity as a table names them.
const (
	provisioned = "provisioned"
	onDemand    = "on-demand"
)

func mode(d *types.StreamModeDetails) string {
	if d != nil && d.StreamMode == types.StreamModeOnDemand {
		return onDemand
	}
	return provisioned
}

// Names are the names of all streams, for completion.
func Names(ctx context.Context, c *Client) ([]string, error) {
	list, err := List(ctx, c)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return names, nil
}

// PrintList prints streams.
func PrintList(w io.Writer, format output.Format, list []Summary) error {
	switch format {
	case output.JSON:
		return output.WriteJSON(w, list)
	case output.Name:
		for _, s := range list {
			if _, err := fmt.Fprintln(w, s.Name); err != nil {
				return err
			}
		}
		return nil
	}
	grid := output.NewGrid("NAME", "STATUS", "MODE", "CREATED")
	for _, s := range list {
		grid.Row(s.Name, s.Status, s.Mode, timestamp(s.Created))
	}
	_, err := grid.WriteTo(w)
	return err
}
