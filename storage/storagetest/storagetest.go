// Package storagetest is the suite that every implementation of storage.Store
// passes. It checks what the comments of package storage promise, and no more:
// a store that passes can stand under the broker.
package storagetest

import (
	"testing"

	"github.com/streamweir/streamweir/storage"
)

// Factory says how to get a store.
type Factory struct {
	// Open opens a store on dir. For a durable store it is called again on the
	// same directory after Close, and finds what was there.
	Open func(t testing.TB, dir string) storage.Store
	// Durable is false for a store that forgets everything at Close.
	Durable bool
	// SegmentBatches is how many small batches seal a segment.
	SegmentBatches int
	// Merges says that Replace merges segments that have become small.
	Merges bool
}

// Run runs the suite.
func Run(t *testing.T, f Factory) {
	for _, c := range []struct {
		name string
		fn   func(*testing.T, *harness)
	}{
		{"AppendReadBack", testAppendReadBack},
		{"AppendSizes", testAppendSizes},
		{"AppendOrder", testAppendOrder},
		{"AppendReleasesData", testAppendReleasesData},
		{"AppendRefusals", testAppendRefusals},
		{"AppendTerms", testAppendTerms},
		{"AppendFromDone", testAppendFromDone},
		{"AppendSkipsOffsets", testAppendSkipsOffsets},
		{"CloseFinishesAppends", testCloseFinishesAppends},
		{"Closed", testClosed},
		{"BoundsEmpty", testBoundsEmpty},
		{"Partitions", testPartitions},
		{"PartitionsAreApart", testPartitionsAreApart},
		{"Segments", testSegments},
		{"SegmentsTrimmed", testSegmentsTrimmed},
		{"Epochs", testEpochs},
		{"Batches", testBatches},
		{"BatchesCallback", testBatchesCallback},
		{"Read", testRead},
		{"ReadOutOfRange", testReadOutOfRange},
		{"ReadWhileWriting", testReadWhileWriting},
		{"Trim", testTrim},
		{"TrimAll", testTrimAll},
		{"TrimLarge", testTrimLarge},
		{"Replace", testReplace},
		{"ReplaceAll", testReplaceAll},
		{"ReplaceRefusals", testReplaceRefusals},
		{"ReplaceLarge", testReplaceLarge},
		{"ReplaceMerges", testReplaceMerges},
		{"ReplaceWhileWriting", testReplaceWhileWriting},
		{"ReplaceDropped", testReplaceDropped},
		{"Drop", testDrop},
		{"DropWhileWriting", testDropWhileWriting},
		{"DropAndWriteAgain", testDropAndWriteAgain},
		{"State", testState},
		{"StateConcurrent", testStateConcurrent},
		{"MetaGetApply", testMetaGetApply},
		{"MetaScan", testMetaScan},
		{"MetaConcurrent", testMetaConcurrent},
		{"HealthAndUsage", testHealthAndUsage},
		{"Model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &harness{T: t, f: f, dir: t.TempDir()}
			h.open()
			defer h.close()
			c.fn(t, h)
		})
	}
}
