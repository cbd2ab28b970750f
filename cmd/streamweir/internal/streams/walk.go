package streams

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"
)

// node is a shard to read.
type node struct {
	id      string
	parents []string
	from    types.StartingPosition
}

func newNode(s types.Shard, from types.StartingPosition) node {
	return node{id: aws.ToString(s.ShardId), parents: parents(s), from: from}
}

// reader reads a shard. If that came to the end of a closed one, it returns the
// shards that it ended in.
type reader func(ctx context.Context, n node) (children []types.ChildShard, err error)

// walk reads shards in the order of their lineage: one begins when those that it
// came from, as far as they are read at all, have been read to their end. No more
// than most are read at the same time.
func walk(ctx context.Context, read reader, most int, nodes []node) error {
	group, ctx := errgroup.WithContext(ctx)
	type result struct {
		id       string
		children []types.ChildShard
	}
	results := make(chan result)
	unread := map[string]bool{} // shards that are waiting or being read
	known := map[string]bool{}
	for _, n := range nodes {
		unread[n.id], known[n.id] = true, true
	}
	waiting, running := slices.Clone(nodes), 0
	begin := func() {
		waiting = slices.DeleteFunc(waiting, func(n node) bool {
			if running >= most || slices.ContainsFunc(n.parents, func(p string) bool { return unread[p] }) {
				return false
			}
			running++
			group.Go(func() error {
				children, err := read(ctx, n)
				if err != nil {
					return err
				}
				select {
				case results <- result{n.id, children}:
				case <-ctx.Done():
				}
				return nil
			})
			return true
		})
	}
	for begin(); running > 0; begin() {
		select {
		case r := <-results:
			running--
			delete(unread, r.id)
			for _, c := range r.children {
				if id := aws.ToString(c.ShardId); !known[id] {
					unread[id], known[id] = true, true
					waiting = append(waiting, node{id: id, parents: c.ParentShards, from: types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}})
				}
			}
		case <-ctx.Done():
			return group.Wait()
		}
	}
	if len(waiting) > 0 {
		return errors.New("the shards' parents make a circle")
	}
	return group.Wait()
}
