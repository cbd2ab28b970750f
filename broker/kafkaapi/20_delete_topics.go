package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// DeleteTopics, versions 1 to 6; from 6 on by name or by id. A topic is gone,
// also after a crash, when the response is sent. A topic that the request names
// twice, in whatever way, is not deleted and gets one answer, an error.

func (s *Server) deleteTopics(k *call) {
	req := k.req.(*kmsg.DeleteTopicsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	asked := req.Topics
	if k.version < 6 {
		asked = make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
		for i := range req.TopicNames {
			asked[i].Topic = &req.TopicNames[i]
		}
	}
	d := deletion{s: s, resp: resp}
	d.sort(asked)
	errs, failed := s.core.DeleteTopics(d.ids)
	if failed != nil {
		s.logFailure(k, "topics could not be deleted", failed)
	}
	for i, id := range d.ids {
		err := failed
		if err == nil {
			err = errs[i]
		}
		if errorCode(err) == kerr.TopicDeletionDisabled.Code && k.version < 3 {
			err = topic.Refuse(kerr.InvalidRequest, "topics cannot be deleted") // the code is newer
		}
		d.answer(d.names[i], id, err)
	}
	k.reply(resp)
}

// deletion sorts what a DeleteTopics request asks for into topics to delete and
// answers that are errors.
type deletion struct {
	s     *Server
	resp  *kmsg.DeleteTopicsResponse
	ids   []storage.TopicID
	names []*string
}

func (d *deletion) answer(name *string, id storage.TopicID, err error) {
	rt := kmsg.NewDeleteTopicsResponseTopic()
	rt.Topic, rt.TopicID, rt.ErrorCode, rt.ErrorMessage = name, id, errorCode(err), errorMessage(err)
	d.resp.Topics = append(d.resp.Topics, rt)
}

func (d *deletion) sort(asked []kmsg.DeleteTopicsRequestTopic) {
	type key struct {
		named bool
		name  string
		id    [16]byte
	}
	keyOf := func(t *kmsg.DeleteTopicsRequestTopic) key {
		if t.Topic != nil {
			return key{true, *t.Topic, t.TopicID}
		}
		return key{id: t.TopicID}
	}
	count := repeats(asked, keyOf)
	byID := map[storage.TopicID]bool{}
	for i := range asked {
		if asked[i].Topic == nil {
			byID[asked[i].TopicID] = true
		}
	}
	twice := map[storage.TopicID]bool{} // by name and by id
	for i := range asked {
		if name := asked[i].Topic; name != nil && asked[i].TopicID == [16]byte{} {
			if t := d.s.core.Topics.Topic(*name); t != nil && byID[t.ID] {
				twice[t.ID] = true
			}
		}
	}
	answered := map[key]bool{}
	for i := range asked {
		t := &asked[i]
		if answered[keyOf(t)] {
			continue
		}
		answered[keyOf(t)] = true
		switch {
		case t.Topic == nil && t.TopicID == [16]byte{}:
			d.answer(nil, t.TopicID, topic.Refuse(kerr.InvalidRequest, "a topic has neither name nor id"))
		case t.Topic != nil && t.TopicID != [16]byte{}:
			d.answer(t.Topic, t.TopicID, topic.Refuse(kerr.InvalidRequest, "a topic has both name and id: give one"))
		case count[keyOf(t)] > 1:
			d.answer(t.Topic, t.TopicID, topic.Refuse(kerr.InvalidRequest, "the topic stands in the request %d times", count[keyOf(t)]))
		default:
			d.find(t, twice)
		}
	}
}

// find puts one topic that is asked for once among those to delete.
func (d *deletion) find(t *kmsg.DeleteTopicsRequestTopic, twice map[storage.TopicID]bool) {
	if !d.s.core.Config().DeleteTopicEnable {
		d.ids, d.names = append(d.ids, t.TopicID), append(d.names, t.Topic) // the core refuses it
		return
	}
	var name string
	if t.Topic != nil {
		name = *t.Topic
	}
	found, err := d.s.topicFor(t.Topic == nil, name, t.TopicID)
	switch {
	case err != nil:
		d.answer(t.Topic, t.TopicID, err)
	case !twice[found.ID]:
		d.ids, d.names = append(d.ids, found.ID), append(d.names, &found.Name)
	case t.Topic != nil: // the one answer for both
		d.answer(t.Topic, found.ID, topic.Refuse(kerr.InvalidRequest, "the topic stands in the request by name and by id"))
	}
}
