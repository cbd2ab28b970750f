package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage"
)

// endpoint is an address that the server is to listen on.
type endpoint struct {
	what          string // is listened for there
	addr          string
	flag, setting string // that change it
}

func adminEndpoint(cfg *config.Config) endpoint {
	return endpoint{"the admin endpoints", cfg.AdminListener, "--admin-addr", "admin.listener"}
}

// checkPorts looks whether the ports for clients can be had. It runs before the
// data directory is made, so that a start that fails for them leaves none behind.
// It gives them back: until the server is ready, clients are to be refused.
func checkPorts(cfg *config.Config) error {
	specs, err := cfg.ListenerSpecs()
	if err != nil {
		return err
	}
	var list []endpoint
	for _, spec := range specs {
		list = append(list, endpoint{"the Kafka protocol", spec.Addr(), "--kafka-addr", "listeners"})
	}
	if cfg.AWSAddr != "" {
		list = append(list, endpoint{"the AWS APIs", cfg.AWSAddr, "--aws-addr", "aws.addr"})
	}
	for _, e := range list {
		l, err := e.listen(cfg.DataDir)
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("give the port of %s back: %w", e.addr, err)
		}
	}
	return nil
}

// listen opens a listener. Where the port is taken by a process that has the data
// directory too, it is that which the user has to hear of.
func (e endpoint) listen(dataDir string) (net.Listener, error) {
	l, err := net.Listen("tcp", e.addr)
	switch {
	case err == nil:
		return l, nil
	case !errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen for %s on %s (%s, or the setting %s): %w", e.what, e.addr, e.flag, e.setting, err)
	case held(dataDir):
		return nil, fmt.Errorf("data directory %s: %w, and so is %s: perhaps another streamweir; stop it, or give this one another directory (--data-dir) and other addresses",
			dataDir, storage.ErrLocked, e.addr)
	}
	return nil, fmt.Errorf("listen for %s on %s: %w: another streamweir may be running; stop it, or give another address with %s (the setting %s)",
		e.what, e.addr, syscall.EADDRINUSE, e.flag, e.setting)
}

// held says whether another process holds a data directory. It makes nothing.
func held(dataDir string) bool {
	f, err := os.Open(dataDir) // its holder has locked the directory itself
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
