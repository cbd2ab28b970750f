// Package franz drives the built binary with franz-go: a million records
// through an idempotent producer and a group, and the same while the server is
// restarted and killed.
package franz

import (
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
