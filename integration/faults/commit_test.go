package faults

import (
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/integration/harness"
)

// commitTo commits an offset for a group without members, and returns the code.
func commitTo(t testing.TB, c *harness.Conn, group, topic string, offset int64) error {
	t.Helper()
	req := harness.At(kmsg.NewPtrOffsetCommitRequest(), 7)
	req.Group, req.Generation = group, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := harness.Ask[*kmsg.OffsetCommitResponse](t, c, req)
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// On a full disk commits go on in the reserve. Where something else has taken
// that too, they are answered with a code that clients retry, members stay in
// their groups, and commits resume by themselves.
func TestCommitOnAFullDisk(t *testing.T) {
	harness.OnlyStreamweir(t, "its broker ends when the disk is full")
	disk := smallDisk(t, diskSize)
	remove := ballast(t, disk, diskSize/2)
	s := harness.Start(t, harness.DataDir(filepath.Join(disk, "data")))
	topic := harness.Topic(t, s, 1)
	ctx := harness.Context(t, 3*harness.Long)
	cl := writer(t, s, topic)
	if err := put(ctx, cl, []byte("first")); err != nil {
		t.Fatal(err)
	}
	member := harness.Client(t, s, kgo.ConsumeTopics(topic), kgo.ConsumerGroup("live"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	first := member.PollRecords(ctx, 1).Records()
	if len(first) != 1 {
		t.Fatal("the member reads nothing")
	}
	if err := member.CommitRecords(ctx, first...); err != nil {
		t.Fatal(err)
	}
	fillUp(t, s, cl, diskSize)
	conn := harness.Dial(t, s)
	if err := commitTo(t, conn, "idle", topic, 1); err != nil {
		t.Fatalf("a commit in the reserve: %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	free := int(st.Bavail) * int(st.Bsize) / megabyte
	// Nearly all of it; no commit may be half-way when the rest is taken.
	removeRest := ballast(t, disk, free-1)
	for range 20 {
		if err := commitTo(t, conn, "idle", topic, 2); err != kerr.CoordinatorNotAvailable { //nolint:errorlint // the code itself
			t.Fatalf("a commit on a disk without any space: %v, want COORDINATOR_NOT_AVAILABLE", err)
		}
	}
	describe := harness.At(kmsg.NewPtrDescribeGroupsRequest(), 5)
	describe.Groups = []string{"live"}
	if g := harness.Ask[*kmsg.DescribeGroupsResponse](t, conn, describe).Groups[0]; g.State != "Stable" || len(g.Members) != 1 {
		t.Errorf("the group of a live member is %s with %d members", g.State, len(g.Members))
	}
	removeRest()
	remove()
	harness.Eventually(t, harness.Long, "commits resume", func() error { return commitTo(t, conn, "idle", topic, 3) })
	if err := member.CommitRecords(ctx, first...); err != nil {
		t.Errorf("the member's commit afterwards: %v", err)
	}
	s.Restart(t)
	for group, want := range map[string]int64{"idle": 3, "live": 1} {
		if got := offsetsOf(ctx, t, s, group, topic)[0]; got != want {
			t.Errorf("group %s has offset %d after a restart, want %d", group, got, want)
		}
	}
}
