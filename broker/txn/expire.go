package txn

import (
	"fmt"
	"maps"

	"github.com/twmb/franz-go/pkg/kerr"
)

// forgotten are expired transactional ids on their way out of the log.
type forgotten struct{ ts []*transaction }

func (e *forgotten) String() string { return fmt.Sprintf("tombstones of %d ids", len(e.ts)) }

// maxTombstones bounds the records of one entry.
const maxTombstones = 1000

// expire lets go of transactional ids that nobody has used for
// transactional.id.expiration.ms.
func (s *shard) expire(st *step) {
	before := st.ms() - s.cfg.Expiration.Milliseconds()
	var e *forgotten
	var records []record
	flush := func() {
		if e != nil {
			st.append(&entry{id: e.ts[0].id, records: records, effect: e})
			e, records = nil, nil
		}
	}
	for _, t := range sorted(maps.Values(s.txns)) {
		if t.busy() || !t.state.resting() || t.updated > before {
			continue
		}
		t.pending, t.hasPending = Dead, true
		if e == nil {
			e = &forgotten{}
		}
		e.ts = append(e.ts, t)
		records = append(records, record{key: transactionKey(t.id)})
		if len(e.ts) == maxTombstones {
			flush()
		}
	}
	flush()
}

func (e *forgotten) durable(s *shard, st *step) {
	for _, t := range e.ts {
		s.stats.Expired++
		s.remove(t)
		s.release(st, t, kerr.InvalidProducerIDMapping)
	}
}

func (e *forgotten) failed(s *shard, st *step, _ *kerr.Error) {
	for _, t := range e.ts {
		t.hasPending = false
		if !s.resigned {
			s.resume(st, t)
		}
	}
}
