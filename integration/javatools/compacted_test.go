package javatools

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// The Java consumer passes over batches that compaction has emptied, and stands
// behind the last of them when it leaves.
func TestConsoleConsumerReadsPastBatchesWithoutRecords(t *testing.T) {
	harness.OnlyStreamweir(t, "it compacts the newest segment only when more is written")
	s := harness.Start(t, harness.CompactAtOnce()...)
	topic, want, end := harness.EmptiedTopic(t, s)
	for _, isolation := range []string{"read_committed", "read_uncommitted"} {
		group := harness.Name(t, "g")
		c := harness.Background(t, tool(t, consoleConsumer, "--bootstrap-server", s.Addr(), "--topic", topic, "--group", group,
			"--from-beginning", "--isolation-level", isolation, "--timeout-ms", "10000",
			"--formatter-property", "print.key=true", "--formatter-property", "print.offset=true", "--formatter-property", "key.separator= "), nil)
		c.Wait(t, toolTakes) // it ends when nothing has come for a while
		var got []string
		for line := range strings.Lines(c.Stdout()) {
			record, ok := strings.CutPrefix(line, "Offset:")
			if !ok {
				continue // it says that nothing has come for a while
			}
			f := append(strings.Fields(record), "", "", "")
			got = append(got, fmt.Sprintf("%s %s=%s", f[0], f[1], f[2]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", isolation, got, want)
		}
		offsets, err := harness.Admin(t, s).FetchOffsets(harness.Context(t, harness.Long), group)
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := offsets.Lookup(topic, 0); !ok || o.At != end {
			t.Errorf("%s: the group has committed %d, the log ends at %d", isolation, o.At, end)
		}
	}
}
