package badgerstore

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// badgerLogger takes what Badger has to say. It is more than a log: some
// failures Badger reports nowhere else. When the sync of the value log fails,
// Badger writes an error line and then tells the writer that all is well; so an
// error line that is not known to be harmless fails the store.
type badgerLogger struct {
	log *zap.Logger
	// fail is told of errors after which nothing may be acknowledged.
	fail func(err error)
	// unreadable is told that a table was left out when the database opened.
	unreadable func(what string)
	onMessage  func(l *badgerLogger, msg string)

	mu   sync.Mutex
	said map[uint64]struct{} // hashes of harmless messages
}

// maxSaid bounds how many different harmless messages are remembered.
const maxSaid = 4096

// first says whether a message is new. Badger complains of a damaged entry each
// time that it is read, and a consumer may read it for ever. When there are too
// many to remember, all are forgotten and said once more.
func (l *badgerLogger) first(msg string) bool {
	h := fnv.New64a()
	_, _ = io.WriteString(h, msg) // never fails
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.said[h.Sum64()]; ok {
		return false
	}
	if l.said == nil || len(l.said) >= maxSaid {
		l.said = map[uint64]struct{}{}
	}
	l.said[h.Sum64()] = struct{}{}
	return true
}

// harmless are beginnings of error lines that say nothing about writes. They
// come from reads, which see the failure themselves.
var harmless = []string{
	"Unable to read: Key",
	"Key: ",
	"Invalid read: ",
	"Unable to get stats for value log",
	"Received err", // Open returns it
	"CHECKSUM_MISMATCH",
	"Ignoring table",
}

func (l *badgerLogger) Errorf(format string, args ...any) {
	msg := strings.TrimSpace(fmt.Sprintf(format, args...))
	if strings.HasPrefix(msg, "Ignoring table") {
		l.unreadable(msg)
	}
	for _, h := range harmless {
		if strings.HasPrefix(msg, h) {
			if l.first(msg) {
				l.log.Warn("database", zap.String("message", msg))
			}
			return
		}
	}
	l.log.Error("database", zap.String("message", msg))
	l.fail(fmt.Errorf("the database reports %q", msg))
}

func (l *badgerLogger) Warningf(format string, args ...any) {
	if l.onMessage != nil {
		l.onMessage(l, fmt.Sprintf(format, args...))
	}
	if ce := l.log.Check(zap.DebugLevel, "database"); ce != nil {
		ce.Write(zap.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
	}
}

func (l *badgerLogger) Infof(format string, args ...any)  { l.Warningf(format, args...) }
func (l *badgerLogger) Debugf(format string, args ...any) { l.Warningf(format, args...) }
