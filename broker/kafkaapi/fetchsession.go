package kafkaapi

import (
	"container/list"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/storage"
)

// Fetch sessions (KIP-227): the server remembers which partitions a client
// fetches, so that neither requests nor responses have to name those that did
// not change.

const (
	// sessionIdle is how long a session must have been unused before a new one
	// may take its place (Kafka's min.incremental.fetch.session.eviction.ms).
	sessionIdle = 2 * time.Minute
	// maxSessionPartitions bounds the partitions that all sessions remember;
	// above it, clients are answered without a session.
	maxSessionPartitions = 1_000_000

	epochFull = 0
	epochNone = -1
)

// sessions holds the fetch sessions of all clients.
type sessions struct {
	now func() time.Time

	mu         sync.Mutex
	slots      int
	partitions int
	byID       map[int32]*session
	used       list.List // of *session, the one unused for longest first
}

// session is what one client fetches. A nil session is none.
type session struct {
	id    int32
	byIDs bool // topics go by id
	entry *list.Element
	last  time.Time

	mu    sync.Mutex
	epoch int32
	full  bool // the response under way is the session's first
	parts map[partKey]*fetchPart
	order []*fetchPart // who returned records last comes last
}

type partKey struct {
	topic   string
	topicID storage.TopicID
	index   int32
}

func (p *fetchPart) key() partKey { return partKey{p.topic, p.topicID, p.index} }

func newSessions(slots int) *sessions {
	return &sessions{now: time.Now, slots: slots, byID: map[int32]*session{}}
}

// open finds out what a request asks for: by itself, or together with what its
// session remembers.
func (ss *sessions) open(req *kmsg.FetchRequest) (*session, []*fetchPart, error) {
	if req.Version < 7 {
		return nil, partsOf(req), nil
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if req.SessionEpoch == epochFull || req.SessionEpoch == epochNone {
		if s := ss.byID[req.SessionID]; s != nil {
			ss.remove(s)
		}
		parts := partsOf(req)
		if req.SessionEpoch == epochNone || len(parts) == 0 {
			return nil, parts, nil
		}
		return ss.create(req, parts), parts, nil
	}
	s := ss.byID[req.SessionID]
	if s == nil {
		return nil, nil, kerr.FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.epoch != req.SessionEpoch:
		return nil, nil, kerr.InvalidFetchSessionEpoch
	case s.byIDs != (req.Version >= 13):
		return nil, nil, kerr.FetchSessionTopicIDError
	}
	before := len(s.parts)
	s.update(req)
	ss.partitions += len(s.parts) - before
	if len(s.parts) == 0 || ss.partitions > maxSessionPartitions {
		parts := append([]*fetchPart(nil), s.order...)
		ss.removeLocked(s)
		return nil, parts, nil
	}
	s.epoch = nextEpoch(s.epoch)
	s.full = false
	s.last = ss.now()
	ss.used.MoveToBack(s.entry)
	return s, append([]*fetchPart(nil), s.order...), nil
}

func nextEpoch(e int32) int32 {
	if e == 1<<31-1 {
		return 1
	}
	return e + 1
}

// create makes a session, or returns nil where there is no room for one.
func (ss *sessions) create(req *kmsg.FetchRequest, parts []*fetchPart) *session {
	now := ss.now()
	if len(ss.byID) >= ss.slots {
		oldest, ok := ss.used.Front(), ss.slots > 0
		if !ok || now.Sub(oldest.Value.(*session).last) < sessionIdle {
			return nil
		}
		ss.remove(oldest.Value.(*session))
	}
	if ss.partitions+len(parts) > maxSessionPartitions {
		return nil
	}
	s := &session{byIDs: req.Version >= 13, epoch: 1, full: true, last: now, parts: map[partKey]*fetchPart{}}
	for _, p := range parts {
		if s.parts[p.key()] == nil {
			s.parts[p.key()] = p
			s.order = append(s.order, p)
		}
	}
	for s.id == 0 || ss.byID[s.id] != nil {
		s.id = rand.Int32()
	}
	ss.byID[s.id] = s
	s.entry = ss.used.PushBack(s)
	ss.partitions += len(s.parts)
	return s
}

func (ss *sessions) remove(s *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss.removeLocked(s)
}

func (ss *sessions) removeLocked(s *session) {
	delete(ss.byID, s.id)
	ss.used.Remove(s.entry)
	ss.partitions -= len(s.parts)
}

// update takes up what an incremental request adds, changes and forgets.
func (s *session) update(req *kmsg.FetchRequest) {
	for _, p := range partsOf(req) {
		old := s.parts[p.key()]
		if old == nil {
			s.parts[p.key()] = p
			s.order = append(s.order, p)
			continue
		}
		// A response under way still uses the old entry: it is replaced.
		p.lastHigh, p.lastStart, p.lastHadError = old.lastHigh, old.lastStart, old.lastHadError
		s.parts[p.key()] = p
		for i := range s.order {
			if s.order[i] == old {
				s.order[i] = p
				break
			}
		}
	}
	if len(req.ForgottenTopics) == 0 {
		return
	}
	for _, t := range req.ForgottenTopics {
		for _, index := range t.Partitions {
			delete(s.parts, partKey{t.Topic, storage.TopicID(t.TopicID), index})
		}
	}
	kept := s.order[:0]
	for _, p := range s.order {
		if s.parts[p.key()] == p {
			kept = append(kept, p)
		}
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// partsOf lists the partitions that a request names.
func partsOf(req *kmsg.FetchRequest) []*fetchPart {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	block := make([]fetchPart, 0, n)
	out := make([]*fetchPart, 0, n)
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			block = append(block, fetchPart{
				topic: t.Topic, topicID: storage.TopicID(t.TopicID), index: p.Partition,
				offset: p.FetchOffset, epoch: p.CurrentLeaderEpoch, lastEpoch: p.LastFetchedEpoch,
				maxBytes: p.PartitionMaxBytes, lastHigh: -1, lastStart: -1,
			})
			out = append(out, &block[len(block)-1])
		}
	}
	return out
}

func (s *session) responseID() int32 {
	if s == nil {
		return 0
	}
	return s.id
}

func (s *session) lock() {
	if s != nil {
		s.mu.Lock()
	}
}

func (s *session) unlock() {
	if s != nil {
		s.mu.Unlock()
	}
}

// include says whether a partition belongs in the response: always without a
// session and in its first response, later only if there is something new.
func (s *session) include(p *fetchPlan) bool {
	if s == nil {
		return true
	}
	part := p.part
	news := s.full || p.Bytes > 0 || p.err != nil || part.lastHadError || p.divEnd >= 0 ||
		p.Offsets.High != part.lastHigh || p.Offsets.Start != part.lastStart
	part.lastHadError = p.err != nil
	if p.err == nil {
		part.lastHigh, part.lastStart = p.Offsets.High, p.Offsets.Start
	}
	return news
}

// rotate puts partitions that returned records behind those that did not, so
// that none starves when a response has no room for all.
func (s *session) rotate(plans []fetchPlan) {
	if s == nil {
		return
	}
	served := map[*fetchPart]bool{}
	for i := range plans {
		if plans[i].Bytes > 0 {
			served[plans[i].part] = true
		}
	}
	if len(served) == 0 || len(served) == len(s.order) {
		return
	}
	order := make([]*fetchPart, 0, len(s.order))
	for _, p := range s.order {
		if !served[p] {
			order = append(order, p)
		}
	}
	for _, p := range s.order {
		if served[p] {
			order = append(order, p)
		}
	}
	s.order = order
}
