package server

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/badgerstore"
)

// startAt runs a server that is not to come up, with some settings of its own.
func startAt(t *testing.T, dir string, set ...string) error {
	t.Helper()
	set = append([]string{"data.dir=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "aws.addr=127.0.0.1:0", "admin.listener=127.0.0.1:0"}, set...)
	cfg, warnings, err := config.Load(config.Source{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return Run(t.Context(), cfg, warnings, "test")
}

func occupy(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestPortInUse: it did not say what changes the port, and left a data directory
// behind that was not there before.
func TestPortInUse(t *testing.T) {
	taken := occupy(t)
	for _, c := range []struct{ setting, what, flag string }{
		{"admin.listener=" + taken, "the admin endpoints", "--admin-addr (the setting admin.listener)"},
		{"listeners=PLAINTEXT://" + taken, "the Kafka protocol", "--kafka-addr (the setting listeners)"},
		{"aws.addr=" + taken, "the AWS APIs", "--aws-addr (the setting aws.addr)"},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		err := startAt(t, dir, c.setting)
		want := "listen for " + c.what + " on " + taken + ": address already in use: another streamweir may be running; stop it, or give another address with " + c.flag
		if !errors.Is(err, syscall.EADDRINUSE) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the data directory was made: %v", c.setting, err)
		}
	}
}

// TestDataDirectoryInUse: a second plain start complained of the port only.
func TestDataDirectoryInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	store, err := badgerstore.Open(badgerstore.Options{Dir: dir, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	taken := occupy(t)
	for _, setting := range []string{"admin.listener=" + taken, "aws.addr=" + taken, "admin.listener=127.0.0.1:0"} {
		if err := startAt(t, dir, setting); !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := startAt(t, dir, "aws.addr="+taken); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("nobody holds the directory, and it says %v", err)
	}
}
