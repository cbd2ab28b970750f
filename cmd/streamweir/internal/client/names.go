package client

import (
	"context"
	"sort"
)

// TopicNames lists the topics, for completion and for matching patterns.
func (c *Cluster) TopicNames(ctx context.Context, internal bool) ([]string, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	list := c.Admin.ListTopics
	if internal {
		list = c.Admin.ListTopicsWithInternal
	}
	topics, err := list(ctx)
	if err != nil {
		return nil, c.Explain(err)
	}
	return topics.Names(), nil
}

// GroupNames lists the groups, for completion.
func (c *Cluster) GroupNames(ctx context.Context) ([]string, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	groups, err := c.Admin.ListGroups(ctx)
	if err != nil {
		return nil, c.Explain(err)
	}
	names := groups.Groups()
	sort.Strings(names)
	return names, nil
}
