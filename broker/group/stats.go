package group

// Stats are figures of a coordinator: gauges as of now, counters since it was
// started. They are plain values for whoever exports metrics.
type Stats struct {
	Groups  [5]int // by State; those that are Dead do not exist
	Members int
	Offsets int

	Rebalances       int64 // that ended with an assignment
	Commits          int64 // OffsetCommit requests made durable
	CommittedOffsets int64
	ExpiredOffsets   int64
	DeletedOffsets   int64
	Appends          int64
	FailedAppends    int64
}

// add sums two figures.
func (a *Stats) add(b *Stats) {
	for i := range a.Groups {
		a.Groups[i] += b.Groups[i]
	}
	a.Members += b.Members
	a.Offsets += b.Offsets
	a.Rebalances += b.Rebalances
	a.Commits += b.Commits
	a.CommittedOffsets += b.CommittedOffsets
	a.ExpiredOffsets += b.ExpiredOffsets
	a.DeletedOffsets += b.DeletedOffsets
	a.Appends += b.Appends
	a.FailedAppends += b.FailedAppends
}
