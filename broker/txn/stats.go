package txn

// Stats are figures of a coordinator: gauges as of now, counters since it was
// started. They are plain values for whoever exports metrics.
type Stats struct {
	Transactions [states]int // ids by State; those that are Dead do not exist

	Initialized   int64 // epochs given out
	Commits       int64 // transactions committed in all their partitions
	Aborts        int64 // and aborted
	Fenced        int64 // transactions aborted because a new producer came
	TimedOut      int64 // transactions aborted because their time was over
	Expired       int64 // transactional ids forgotten
	Markers       int64 // markers written
	FailedMarkers int64 // tries to write one that failed
	Appends       int64
	FailedAppends int64
}

// add sums two figures.
func (a *Stats) add(b *Stats) {
	for i := range a.Transactions {
		a.Transactions[i] += b.Transactions[i]
	}
	a.Initialized += b.Initialized
	a.Commits += b.Commits
	a.Aborts += b.Aborts
	a.Fenced += b.Fenced
	a.TimedOut += b.TimedOut
	a.Expired += b.Expired
	a.Markers += b.Markers
	a.FailedMarkers += b.FailedMarkers
	a.Appends += b.Appends
	a.FailedAppends += b.FailedAppends
}
