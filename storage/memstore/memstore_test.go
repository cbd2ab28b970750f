package memstore_test

import (
	"testing"

	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/memstore"
	"github.com/streamweir/streamweir/storage/storagetest"
)

func TestConformance(t *testing.T) {
	storagetest.Run(t, storagetest.Factory{
		Open: func(testing.TB, string) storage.Store {
			return memstore.New(memstore.Options{SegmentBatches: 100})
		},
		SegmentBatches: 100,
	})
}
