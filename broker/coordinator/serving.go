package coordinator

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Status is how far a partition is served.
type Status uint8

const (
	Unloaded Status = iota
	Loading
	Active
	Failed
)

// Refuses says why a partition of this status serves no request; nil if it does.
// stopping is whether the coordinator shuts down.
func (s Status) Refuses(stopping bool) *kerr.Error {
	switch {
	case stopping:
		return kerr.CoordinatorNotAvailable
	case s == Active:
		return nil
	case s == Loading:
		return kerr.CoordinatorLoadInProgress
	default:
		return kerr.NotCoordinator
	}
}

// Loads runs the loads of partitions in the background, a few at a time.
type Loads struct {
	running sync.WaitGroup
	places  chan struct{} // a place for each partition that may be loaded at a time
}

// maxLoads is how many partitions are loaded at a time.
const maxLoads = 4

// NewLoads makes Loads without any.
func NewLoads() *Loads { return &Loads{places: make(chan struct{}, maxLoads)} }

// Run calls begin for each partition, and then, in the background, what it
// returns: the load, which calls Limit for the work itself. The channel is
// closed when all of them have ended.
func (l *Loads) Run(partitions []int32, begin func(partition int32) (load func())) <-chan struct{} {
	done := make(chan struct{})
	var left sync.WaitGroup
	left.Add(len(partitions))
	l.running.Go(func() {
		left.Wait()
		close(done)
	})
	for _, p := range partitions {
		load := begin(p)
		l.running.Go(func() {
			defer left.Done()
			load()
		})
	}
	return done
}

// Limit calls work when there is a place for it.
func (l *Loads) Limit(work func()) {
	l.places <- struct{}{}
	work()
	<-l.places
}

// Wait waits for all loads. None may be begun any more.
func (l *Loads) Wait() { l.running.Wait() }

// WaitAll calls what waits for the work of a coordinator, one after the other.
// It returns the error of ctx if that ends before the work.
func WaitAll(ctx context.Context, waits ...func()) error {
	ended := make(chan struct{})
	go func() {
		for _, wait := range waits {
			wait()
		}
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
