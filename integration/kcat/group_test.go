package kcat

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// member is one kcat in a group.
type member struct{ *harness.Command }

// assigned is what the last rebalance gave the member: nil before the first.
func (m member) assigned(topic string) []int {
	lines := strings.Split(m.Stderr(), "\n")
	re := regexp.MustCompile(regexp.QuoteMeta(topic) + ` \[(\d+)\]`)
	for i := len(lines) - 1; i >= 0; i-- {
		if !strings.Contains(lines[i], "assigned:") {
			continue
		}
		ps := []int{}
		for _, g := range re.FindAllStringSubmatch(lines[i], -1) {
			p, _ := strconv.Atoi(g[1])
			ps = append(ps, p)
		}
		return ps
	}
	return nil
}

func startMember(t *testing.T, s *harness.Server, group, topic string) member {
	cmd := loud(kcat(t, s, "-G", group, "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=10000",
		"-u", "-f", "%p %o %s\n", topic))
	return member{harness.Background(t, cmd, nil)}
}

// Two kcats share the partitions of a topic; when one leaves, the other takes
// them all, and no message is missed or read twice.
func TestGroupOfTwoMembers(t *testing.T) {
	s := harness.Shared(t)
	const partitions, perRound = 6, 600
	topic := harness.Topic(t, s, partitions)
	group := harness.Name(t, "g")
	cl := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	sent := 0
	produce := func() {
		t.Helper()
		rs := make([]*kgo.Record, perRound)
		for i := range rs {
			rs[i] = kgo.StringRecord(fmt.Sprintf("m%05d", sent))
			sent++
		}
		if err := cl.ProduceSync(harness.Context(t, harness.Long), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var members []member
	all := func(want int) {
		t.Helper()
		harness.Eventually(t, harness.Long, fmt.Sprintf("%d messages read", want), func() error {
			if n := len(received(members)); n < want {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
	}
	shares := func(want ...int) {
		t.Helper()
		harness.Eventually(t, harness.Long, fmt.Sprintf("shares of %v partitions", want), func() error {
			return checkShares(topic, partitions, members, want)
		})
	}

	members = append(members, startMember(t, s, group, topic))
	shares(6)
	produce()
	all(sent)

	members = append(members, startMember(t, s, group, topic))
	shares(3, 3)
	produce()
	all(sent)
	if members[1].Stdout() == "" {
		t.Error("the second member has read nothing")
	}

	// A second member that ends leaves the group, which rebalances at once.
	members[1].Signal(t, syscall.SIGTERM)
	members[1].Wait(t, harness.Long)
	shares(6, -1)
	produce()
	all(sent)

	got := received(members)
	sort.Strings(got)
	for i, m := range got {
		if want := fmt.Sprintf("m%05d", i); m != want {
			t.Fatalf("message %d is %s, want %s (missed or read twice)", i, m, want)
		}
	}
	if len(got) != sent {
		t.Errorf("%d messages read, %d sent", len(got), sent)
	}
}

// checkShares says whether every partition is assigned once, with the wanted
// number to each member; -1 passes over one.
func checkShares(topic string, partitions int, members []member, want []int) error {
	seen := map[int]int{}
	for i, n := range want {
		if n < 0 {
			continue
		}
		ps := members[i].assigned(topic)
		if len(ps) != n {
			return fmt.Errorf("member %d has %v", i, ps)
		}
		for _, p := range ps {
			seen[p]++
		}
	}
	if len(seen) != partitions {
		return fmt.Errorf("assigned: %v", seen)
	}
	return nil
}

// received are the values that the members have read, one per message.
func received(members []member) []string {
	var values []string
	for _, m := range members {
		for _, line := range strings.Split(strings.TrimSuffix(m.Stdout(), "\n"), "\n") {
			if f := strings.Fields(line); len(f) == 3 {
				values = append(values, f[2])
			}
		}
	}
	return values
}
