package memory

import (
	"runtime"
	"sync"
	"testing"
)

func TestClassesHoldWhatTheyPromise(t *testing.T) {
	for n := 0; n <= 1<<maxShift; n += 1 + n/97 {
		c := classOf(n)
		if c < 0 || c >= numClasses {
			t.Fatalf("%d bytes: class %d", n, c)
		}
		if size := classSize(c); size < n || n > 512 && size > n+n/4+1 {
			t.Fatalf("%d bytes got a buffer of %d", n, size)
		}
		if c > 0 && classSize(c-1) >= n {
			t.Fatalf("%d bytes got class %d, class %d would do", n, c, c-1)
		}
	}
	if classOf(1<<maxShift+1) != -1 || classOf(1<<maxShift) != numClasses-1 {
		t.Fatal("the largest class is off")
	}
}

func TestBufferReturnsWithItsLastUser(t *testing.T) {
	b := NewBuffer(1000)
	b.Retain()
	b.Release()
	if len(b.B) != 1000 {
		t.Fatal("the buffer went while somebody used it")
	}
	b.Release()
	defer func() {
		if recover() == nil {
			t.Fatal("a second release passed unnoticed")
		}
	}()
	b.Release()
}

func TestBufferIsKeptOnce(t *testing.T) {
	b := NewBuffer(1000)
	size := int64(cap(b.B))
	if got := b.Keep(); got != size {
		t.Fatalf("the first to keep it accounts for %d bytes, want %d", got, size)
	}
	if got := b.Keep(); got != 0 {
		t.Fatalf("the second to keep it accounts for %d bytes", got)
	}
	b.Release() // who has made it
	if got := b.Drop(); got != 0 || len(b.B) != 1000 {
		t.Fatalf("the first to drop it frees %d bytes, and %d are left", got, len(b.B))
	}
	if got := b.Drop(); got != size || len(b.B) != 0 {
		t.Fatalf("the last to drop it frees %d bytes, and %d are left", got, len(b.B))
	}
}

func TestBudgetIsNeverExceededAndServesInOrder(t *testing.T) {
	b := NewBudget(100)
	if !b.Acquire(60, nil) {
		t.Fatal("not granted")
	}
	var wg sync.WaitGroup
	big, small := make(chan struct{}), make(chan struct{})
	wg.Add(2)
	go func() { defer wg.Done(); b.Acquire(80, nil); close(big) }()
	for b.Waiting() != 1 {
		runtime.Gosched()
	}
	go func() { defer wg.Done(); b.Acquire(10, nil); close(small) }()
	for b.Waiting() != 2 {
		runtime.Gosched()
	}
	select {
	case <-small:
		t.Fatal("the small request overtook the large one")
	default:
	}
	b.Release(60)
	<-big
	<-small
	wg.Wait()
	if b.Used() != 90 {
		t.Fatalf("used %d", b.Used())
	}
}

func TestBudgetCancelledWaiterLetsOthersPass(t *testing.T) {
	b := NewBudget(100)
	b.Acquire(60, nil)
	cancel := make(chan struct{})
	gaveUp := make(chan bool)
	go func() { gaveUp <- b.Acquire(80, cancel) }()
	for b.Waiting() != 1 {
		runtime.Gosched()
	}
	got := make(chan bool)
	go func() { got <- b.Acquire(40, nil) }()
	for b.Waiting() != 2 {
		runtime.Gosched()
	}
	close(cancel)
	if <-gaveUp {
		t.Fatal("granted although cancelled")
	}
	if !<-got || b.Used() != 100 {
		t.Fatalf("the next waiter was not served: used %d", b.Used())
	}
}

func TestBudgetServesWhatIsLargerThanItAlone(t *testing.T) {
	b := NewBudget(10)
	if !b.Acquire(50, nil) {
		t.Fatal("refused for ever")
	}
	cancel := make(chan struct{})
	close(cancel)
	if b.Acquire(1, cancel) {
		t.Fatal("granted above the limit")
	}
}
