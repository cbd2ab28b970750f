package aws

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// TestEventStream reads the frames with AWS's own decoder.
func TestEventStream(t *testing.T) {
	w := NewEventWriter(JSON)
	var stream bytes.Buffer
	for _, next := range []func() ([]byte, error){
		w.Initial,
		func() ([]byte, error) { return w.Event("SubscribeToShardEvent", emptyObject{}) },
		func() ([]byte, error) { return w.Exception(&Error{"ResourceNotFoundException", "gone"}) },
	} {
		frame, err := next()
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(frame)
	}
	d := eventstream.NewDecoder()
	for _, want := range []struct {
		headers map[string]string
		payload string
	}{
		{map[string]string{":message-type": "event", ":event-type": "initial-response", ":content-type": ContentTypeJSON}, `{}`},
		{map[string]string{":message-type": "event", ":event-type": "SubscribeToShardEvent", ":content-type": ContentTypeJSON}, `{}`},
		{map[string]string{":message-type": "exception", ":exception-type": "ResourceNotFoundException", ":content-type": ContentTypeJSON}, `{"message":"gone"}`},
	} {
		m, err := d.Decode(&stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Headers) != len(want.headers) || string(m.Payload) != want.payload {
			t.Errorf("got %v %s", m.Headers, m.Payload)
		}
		for name, value := range want.headers {
			if got := m.Headers.Get(name); got == nil || got.String() != value {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
	if stream.Len() > 0 {
		t.Error("something follows the frames")
	}
}
