package memory

import (
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

func granted(t *Ticket) bool {
	select {
	case <-t.Granted():
		return true
	default:
		return false
	}
}

func TestBudgetIsNeverExceededAndServesInOrder(t *testing.T) {
	b := NewBudget(100)
	if !b.TryAcquire(60) {
		t.Fatal("not granted")
	}
	big, small := b.Ask(80), b.Ask(10)
	if granted(big) || granted(small) || b.TryAcquire(1) {
		t.Fatal("granted above the limit, or past the large request that waits")
	}
	if b.Wanted() != 90 {
		t.Fatalf("wanted %d", b.Wanted())
	}
	b.Release(60)
	if !granted(big) || !granted(small) || b.Used() != 90 || b.Wanted() != 0 {
		t.Fatalf("used %d, wanted %d", b.Used(), b.Wanted())
	}
}

func TestBudgetWithdrawnTicketLetsOthersPass(t *testing.T) {
	b := NewBudget(100)
	b.TryAcquire(60)
	big, next := b.Ask(80), b.Ask(40)
	if !big.Withdraw() || big.Withdraw() {
		t.Fatal("withdrawn not at all, or twice")
	}
	if !granted(next) || granted(big) || b.Used() != 100 {
		t.Fatalf("the next waiter was not served: used %d", b.Used())
	}
	if next.Withdraw() {
		t.Fatal("withdrawn after it was granted")
	}
}

func TestBudgetServesWhatIsLargerThanItAlone(t *testing.T) {
	b := NewBudget(10)
	if !granted(b.Ask(50)) {
		t.Fatal("refused for ever")
	}
	if granted(b.Ask(1)) {
		t.Fatal("granted above the limit")
	}
}
