package harness

import (
	"context"
	"testing"
	"time"
)

const (
	pollMin = 5 * time.Millisecond
	pollMax = 100 * time.Millisecond

	// Long is a deadline for what takes well under a second on an idle
	// machine: it only decides how long a failing test takes.
	Long = 60 * time.Second
)

// Eventually calls fn until it returns nil. If it does not within the given
// time, the test fails with fn's last error.
func Eventually(t testing.TB, within time.Duration, what string, fn func() error) {
	t.Helper()
	if err := Poll(within, fn); err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
}

// Poll is Eventually for those who handle the error themselves.
func Poll(within time.Duration, fn func() error) error {
	deadline := time.Now().Add(within)
	for pause := pollMin; ; pause = min(pause*3/2, pollMax) {
		err := fn()
		if err == nil {
			return nil
		}
		if time.Now().Add(pause).After(deadline) {
			return err
		}
		<-time.After(pause)
	}
}

// Context ends with the test or after the given time.
func Context(t testing.TB, within time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return ctx
}
