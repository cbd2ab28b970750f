package badgerstore

import "github.com/streamweir/streamweir/storage"

type changeKind int

const (
	changeSeal    changeKind = iota // end the growing segment
	changeTrim                      // move the start
	changeReplace                   // batches change in place (replace.go)
	changeDrop                      // tombstones
	changeReaped                    // a dropped partition's data is gone
	changeState                     // keep a derived state
	changeRest                      // write down growing segments, at the end
)

// change is anything but an append that the committer writes to the log
// database. It goes through the same queue, so it has its place among appends.
type change struct {
	kind      changeKind
	partition storage.Partition
	drop      []storage.Partition
	start     int64            // changeTrim
	cut       *storage.Segment // changeTrim: what is left of the segment that holds start
	replace   *replacement     // changeReplace
	name      string           // changeState
	state     storage.State    // changeState
	done      chan error       // nil where nobody waits
}
