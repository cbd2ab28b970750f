// Package clients makes a small round trip with each of the common client
// libraries: produce in the codecs that it has, consume in a group, commit,
// and go on from the committed offset.
package clients

import (
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// takes is how long a round trip may take on a busy machine.
const takes = 3 * time.Minute

// perCodec is how many records go through in each codec.
const perCodec = 50
