package shard

// FilterType says which shards a Filter lets pass, by AWS's names.
type FilterType string

// The types of filters.
const (
	AfterShardID    FilterType = "AFTER_SHARD_ID"
	AtTrimHorizon   FilterType = "AT_TRIM_HORIZON"
	FromTrimHorizon FilterType = "FROM_TRIM_HORIZON"
	AtLatest        FilterType = "AT_LATEST"
	AtTimestamp     FilterType = "AT_TIMESTAMP"
	FromTimestamp   FilterType = "FROM_TIMESTAMP"
)

// Filter is a ShardFilter of ListShards.
type Filter struct {
	Type  FilterType
	Shard int32 // of AFTER_SHARD_ID
	At    int64 // of AT_TIMESTAMP and FROM_TIMESTAMP, in ms
}

// Visible says whether a shard still exists for Kinesis, where records older
// than horizon, in ms, are not kept: a closed one goes with its last record.
func (s *Shard) Visible(horizon int64) bool { return s.IsOpen() || s.ClosedAt > horizon }

// Select returns the shards that f lets pass, in order of their indexes.
// Records older than horizon, in ms, are not kept.
func (l *Lineage) Select(f Filter, horizon int64) []*Shard {
	shards := l.get().shards
	// Before the stream was created, there were the shards of its beginning.
	first := max(horizon, shards[0].CreatedAt)
	at := max(f.At, first)
	var out []*Shard
	for i := range shards {
		s := &shards[i]
		if !s.Visible(horizon) {
			continue
		}
		pass := true
		switch f.Type {
		case AfterShardID:
			pass = s.Index > f.Shard
		case AtLatest:
			pass = s.IsOpen()
		case AtTrimHorizon:
			pass = s.CreatedAt <= first && (s.IsOpen() || s.ClosedAt > first)
		case AtTimestamp:
			pass = s.CreatedAt <= at && (s.IsOpen() || s.ClosedAt >= at)
		case FromTimestamp:
			pass = s.IsOpen() || s.ClosedAt >= at
		}
		if pass {
			out = append(out, s)
		}
	}
	return out
}
