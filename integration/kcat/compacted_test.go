package kcat

import (
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// librdkafka passes over batches that compaction has emptied, at the start, in the
// middle and at the end of the log, and finds where that is.
func TestKcatReadsPastBatchesWithoutRecords(t *testing.T) {
	harness.OnlyStreamweir(t, "Apache Kafka compacts the newest segment only when more is written")
	s := harness.Start(t, harness.CompactAtOnce()...)
	topic, want, _ := harness.EmptiedTopic(t, s)
	for _, isolation := range []string{"read_committed", "read_uncommitted"} {
		for _, offset := range []string{"beginning", "0", "1", "4", "20"} {
			out := harness.MustRun(t, harness.Long, kcat(t, s, "-C", "-t", topic, "-p", "0", "-o", offset, "-e",
				"-f", `%o %k=%s\n`, "-X", "isolation.level="+isolation, "-X", "check.crcs=true"))
			if got := strings.Split(strings.TrimSuffix(out, "\n"), "\n"); !slices.Equal(got, want) {
				t.Errorf("%s from %s: %q, want %q", isolation, offset, got, want)
			}
		}
	}
	out := harness.MustRun(t, harness.Long, kcat(t, s, "-G", harness.Name(t, "g"), "-e", "-f", `%o %k=%s\n`, "-X", "auto.offset.reset=earliest", topic))
	if got := strings.Split(strings.TrimSuffix(out, "\n"), "\n"); !slices.Equal(got, want) {
		t.Errorf("in a group: %q, want %q", got, want)
	}
}
