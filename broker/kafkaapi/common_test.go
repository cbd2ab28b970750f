package kafkaapi

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/storage"
)

// TestWhatClientsAreToldOfStorage: why a write is refused, and nothing of what
// it looks like inside.
func TestWhatClientsAreToldOfStorage(t *testing.T) {
	for want, err := range map[string]error{
		"disk is full":                fmt.Errorf("append t-0: %w", storage.ErrNoSpace),
		"storage has failed":          fmt.Errorf("append t-0: %w: /secret/path: input/output error", storage.ErrFailed),
		"cannot write to its storage": errors.New("/secret/path: no idea"),
	} {
		got := errorMessage(fmt.Errorf("%w: %w", kerr.KafkaStorageError, err))
		if got == nil || !strings.Contains(*got, want) || strings.Contains(*got, "secret") {
			t.Errorf("for %v a client is told %v, want %q", err, got, want)
		}
	}
}
