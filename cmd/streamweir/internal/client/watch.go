package client

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Watcher tells the user when a broker goes away under a command that goes on
// trying, and when it is back; once each. It is a hook for kgo.WithHooks.
type Watcher struct {
	mu   sync.Mutex
	lost bool
	say  func(string)
}

var _ kgo.HookBrokerConnect = (*Watcher)(nil)

// Say says where messages go. Before, while a command has yet to reach a broker
// at all, there are none: Open reports that.
func (w *Watcher) Say(say func(string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say = say
}

// OnBrokerConnect is called by the client after every attempt to connect.
func (w *Watcher) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.say == nil {
		return
	}
	addr := net.JoinHostPort(meta.Host, portString(meta.Port))
	switch {
	case err != nil && !w.lost:
		w.lost = true
		w.say("lost the broker at " + addr + " (" + cause(err) + "); trying again until it is back")
	case err == nil && w.lost:
		w.lost = false
		w.say("connected to the broker at " + addr + " again")
	}
}

func portString(p int32) string { return strconv.Itoa(int(p)) }

// cause shortens an error of dialing to what went wrong.
func cause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
