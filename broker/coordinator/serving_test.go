package coordinator

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestStatusRefuses(t *testing.T) {
	for status, want := range map[Status]*kerr.Error{
		Unloaded: kerr.NotCoordinator, Loading: kerr.CoordinatorLoadInProgress, Active: nil, Failed: kerr.NotCoordinator,
	} {
		if got := status.Refuses(false); got != want {
			t.Errorf("status %d refuses with %v, want %v", status, got, want)
		}
		if got := status.Refuses(true); got != kerr.CoordinatorNotAvailable {
			t.Errorf("while stopping, status %d refuses with %v", status, got)
		}
	}
}

// TestLoadsRunAFewAtATime: all are begun at once, no more work than there are
// places for, and the channel is closed when the last one has ended.
func TestLoadsRunAFewAtATime(t *testing.T) {
	l := NewLoads()
	partitions := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8}
	var mu sync.Mutex
	working, most, ended := 0, 0, 0
	entered, goOn := make(chan struct{}), make(chan struct{})
	begun := 0
	done := l.Run(partitions, func(int32) func() {
		begun++
		return func() {
			l.Limit(func() {
				mu.Lock()
				working++
				most = max(most, working)
				mu.Unlock()
				entered <- struct{}{}
				<-goOn
				mu.Lock()
				working--
				ended++
				mu.Unlock()
			})
		}
	})
	if begun != len(partitions) {
		t.Errorf("%d loads were begun, want %d", begun, len(partitions))
	}
	for range maxLoads {
		<-entered
	}
	for range len(partitions) - maxLoads {
		goOn <- struct{}{}
		<-entered
	}
	for range maxLoads {
		select {
		case <-done:
			t.Fatal("done before the last load")
		default:
		}
		goOn <- struct{}{}
	}
	<-done
	l.Wait()
	if most != maxLoads || ended != len(partitions) {
		t.Errorf("%d loads worked at a time and %d ended, want %d and %d", most, ended, maxLoads, len(partitions))
	}
}

func TestWaitAllGivesUpWithItsContext(t *testing.T) {
	var first, second sync.WaitGroup
	second.Add(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WaitAll(ctx, first.Wait, second.Wait); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	second.Done()
	if err := WaitAll(t.Context(), first.Wait, second.Wait); err != nil {
		t.Errorf("got %v", err)
	}
}
