// Package groups talks to the coordinator of consumer groups, request by
// request, and expects the answers that a real Apache Kafka gave.
package groups

import (
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
