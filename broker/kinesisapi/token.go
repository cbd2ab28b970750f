package kinesisapi

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
)

// nextToken says where a list goes on. Clients are not meant to read it, but may:
// it holds nothing that they could not ask for themselves.
type nextToken struct {
	Action string
	Topic  string       `json:",omitempty"` // id of the stream
	After  string       // the last entry that was listed
	Filter shard.Filter `json:",omitzero"`
	At     int64        // when it was given out, in ms
}

// tokenLife is how long a token can be used.
const tokenLife = 300 * time.Second

func (s *Server) newToken(t nextToken) *string {
	t.At = s.core.Streams.Now().UnixMilli()
	b, err := json.Marshal(t)
	if err != nil {
		panic("kinesisapi: no JSON for a token: " + err.Error()) // only strings and numbers are in it
	}
	return new(base64.StdEncoding.EncodeToString(b))
}

// openToken reads a token that an action has given out.
func (s *Server) openToken(action, text string) (t nextToken, err error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.Action != action || t.At <= 0 {
		return t, stream.Errorf(stream.InvalidArgument, "NextToken is invalid.")
	}
	now := s.core.Streams.Now()
	if age := now.Sub(time.UnixMilli(t.At)); age > tokenLife {
		return t, stream.Errorf(stream.ExpiredNextToken, "NextToken expired: it was created %d seconds ago, and tokens live for %d.", int(age.Seconds()), int(tokenLife.Seconds()))
	}
	return t, nil
}

// tokenStream reads a token and finds the stream that it goes on with.
func (s *Server) tokenStream(action, text string) (*topic.Topic, nextToken, error) {
	token, err := s.openToken(action, text)
	if err != nil {
		return nil, token, err
	}
	t, err := s.core.Streams.ByID(token.Topic)
	return t, token, err
}
