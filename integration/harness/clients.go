package harness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Name makes a name for a topic or a group out of the test's own.
func Name(t testing.TB, what string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%s-%s-%06x", strings.TrimPrefix(name, "Test"), what, rand.IntN(1<<24))
}

// Client is a franz-go client, closed with the test.
func Client(t testing.TB, s *Server, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.Addr()),
		// The Go client waits long before it looks for new topics or brokers.
		kgo.MetadataMinAge(50 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatalf("franz-go client: %v", err)
	}
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

// Admin is an admin client, closed with the test.
func Admin(t testing.TB, s *Server) *kadm.Client {
	t.Helper()
	return kadm.NewClient(Client(t, s))
}

// Topic creates a topic for the test, and deletes it afterwards if the broker
// is still there. Configs are KEY=VALUE.
func Topic(t testing.TB, s *Server, partitions int, configs ...string) string {
	t.Helper()
	name := Name(t, "t")
	CreateTopic(t, s, name, partitions, configs...)
	return name
}

// CreateTopic is Topic with a name of the test's choice.
func CreateTopic(t testing.TB, s *Server, name string, partitions int, configs ...string) {
	t.Helper()
	set := map[string]*string{}
	for _, kv := range configs {
		k, v, _ := strings.Cut(kv, "=")
		set[k] = &v
	}
	adm := Admin(t, s)
	ctx := Context(t, Long)
	if _, err := adm.CreateTopic(ctx, int32(partitions), 1, set, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	// An answer of every partition's leader: metadata can be ahead of it.
	Eventually(t, Long, "a leader for every partition of "+name, func() error {
		ends, err := adm.ListEndOffsets(ctx, name)
		if err != nil {
			return err
		}
		if n := len(ends[name]); n != partitions {
			return fmt.Errorf("%d partitions", n)
		}
		return ends.Error()
	})
	t.Cleanup(func() {
		if s.external() || s.PID() != 0 {
			cl := Context(t, 10*time.Second)
			_, _ = adm.DeleteTopics(cl, name)
		}
	})
}

// external says that the broker is not a child of this process.
func (s *Server) external() bool { return s.runs == 0 }
