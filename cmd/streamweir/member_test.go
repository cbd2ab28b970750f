package main

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// startMember joins a group and returns once it has partitions. The member
// stays until the test ends.
func startMember(t *testing.T, f *fake, name string) {
	t.Helper()
	joined := make(chan struct{}, 1)
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.ClientID("streamweir"), kgo.ConsumerGroup(name), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { joined <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	select {
	case <-joined:
	case <-t.Context().Done():
		t.Fatal("the member did not join")
	}
}
