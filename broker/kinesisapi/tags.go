package kinesisapi

import (
	"context"
	"maps"
	"slices"

	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

func (s *Server) addTags(_ context.Context, _ *Call, in *kinesis.AddTagsToStreamInput) error {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.AddTags(t, in.Tags)
}

func (s *Server) removeTags(_ context.Context, _ *Call, in *kinesis.RemoveTagsFromStreamInput) error {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.RemoveTags(t, in.TagKeys)
}

// mostTags is how many tags ListTagsForStream lists at most.
const mostTags = 50

func (s *Server) listTags(_ context.Context, _ *Call, in *kinesis.ListTagsForStreamInput) (*kinesis.ListTagsForStreamOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	tags, more := tagsAfter(t.Stream.Tags, value(in.ExclusiveStartTagKey), atMost(in.Limit, mostTags))
	return &kinesis.ListTagsForStreamOutput{Tags: tags, HasMoreTags: new(more)}, nil
}

// tagsAfter lists tags in order of their keys, behind one of them.
func tagsAfter(tags map[string]string, after string, limit int) (out []kinesis.Tag, more bool) {
	out = []kinesis.Tag{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		switch {
		case key <= after:
		case len(out) == limit:
			return out, true
		default:
			out = append(out, kinesis.Tag{Key: new(key), Value: new(tags[key])})
		}
	}
	return out, false
}

func (s *Server) tagResource(_ context.Context, _ *Call, in *kinesis.TagResourceInput) error {
	return s.core.Streams.TagResource(*in.ResourceARN, in.Tags)
}

func (s *Server) untagResource(_ context.Context, _ *Call, in *kinesis.UntagResourceInput) error {
	return s.core.Streams.UntagResource(*in.ResourceARN, in.TagKeys)
}

func (s *Server) listResourceTags(_ context.Context, _ *Call, in *kinesis.ListTagsForResourceInput) (*kinesis.ListTagsForResourceOutput, error) {
	tags, err := s.core.Streams.Tags(*in.ResourceARN)
	if err != nil {
		return nil, err
	}
	all, _ := tagsAfter(tags, "", len(tags))
	return &kinesis.ListTagsForResourceOutput{Tags: all}, nil
}
