package broker

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage/memstore"
)

// A data directory answers to one node.id; with another one it was taken
// silently, and partitions had a leader that clients did not know.
func TestDataOfAnotherNodeIsRefused(t *testing.T) {
	store := memstore.New(memstore.Options{})
	defer store.Close()
	for _, tc := range []struct {
		set  string
		says string // empty where it opens
	}{
		{set: "node.id=7"},
		{set: "node.id=8", says: "node.id is 8, but the data directory /d belongs to node 7"},
		{set: "node.id=1", says: "set node.id to 7"},
		{set: "node.id=7"},
	} {
		cfg, _, err := config.Load(config.Source{Set: []string{tc.set, "data.dir=/d"}})
		if err != nil {
			t.Fatal(err)
		}
		core, err := Open(store, cfg, zap.NewNop())
		if err == nil {
			core.Close()
		}
		switch {
		case tc.says == "" && err != nil:
			t.Errorf("%s: %v", tc.set, err)
		case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: %v, want %q", tc.set, err, tc.says)
		}
	}
}
