package quota

import "sync"

// scope says what an action's rate is counted for.
type scope uint8

const (
	perAccount scope = iota
	perStream
)

// actionRate is how often an action may be called within a second.
type actionRate struct {
	scope scope
	rate  rate
}

func perSecond(s scope, n float64) actionRate { return actionRate{s, rate{n, n}} }

// actionRates are those of the API reference, of the actions that do not move
// records: these have the limits of their shards.
var actionRates = map[string]actionRate{
	"AddTagsToStream":                        perSecond(perAccount, 5),
	"CreateStream":                           perSecond(perAccount, 5),
	"DecreaseStreamRetentionPeriod":          perSecond(perAccount, 5),
	"DeleteResourcePolicy":                   perSecond(perAccount, 5),
	"DeleteStream":                           perSecond(perAccount, 5),
	"DeregisterStreamConsumer":               perSecond(perStream, 5),
	"DescribeAccountSettings":                perSecond(perAccount, 5),
	"DescribeLimits":                         perSecond(perAccount, 1),
	"DescribeStream":                         perSecond(perAccount, 10),
	"DescribeStreamConsumer":                 perSecond(perStream, 20),
	"DescribeStreamSummary":                  perSecond(perAccount, 20),
	"DisableEnhancedMonitoring":              perSecond(perAccount, 5),
	"EnableEnhancedMonitoring":               perSecond(perAccount, 5),
	"GetResourcePolicy":                      perSecond(perAccount, 5),
	"IncreaseStreamRetentionPeriod":          perSecond(perAccount, 5),
	"ListShards":                             perSecond(perStream, 1000),
	"ListStreamConsumers":                    perSecond(perStream, 5),
	"ListStreams":                            perSecond(perAccount, 5),
	"ListTagsForResource":                    perSecond(perAccount, 5),
	"ListTagsForStream":                      perSecond(perAccount, 5),
	"MergeShards":                            perSecond(perAccount, 5),
	"PutResourcePolicy":                      perSecond(perAccount, 5),
	"RegisterStreamConsumer":                 perSecond(perStream, 5),
	"RemoveTagsFromStream":                   perSecond(perAccount, 5),
	"SplitShard":                             perSecond(perAccount, 5),
	"StartStreamEncryption":                  perSecond(perAccount, 5),
	"StopStreamEncryption":                   perSecond(perAccount, 5),
	"TagResource":                            perSecond(perAccount, 5),
	"UntagResource":                          perSecond(perAccount, 5),
	"UpdateAccountSettings":                  perSecond(perAccount, 5),
	"UpdateMaxRecordSize":                    perSecond(perAccount, 5),
	"UpdateShardCount":                       perSecond(perAccount, 5),
	"UpdateStreamMode":                       perSecond(perAccount, 5),
	"UpdateStreamRecordDistributionStrategy": perSecond(perAccount, 5),
	"UpdateStreamWarmThroughput":             perSecond(perAccount, 5),
}

// actions are the buckets of actions, made as they are called: as many as there
// are rates.
type actions struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

func (a *actions) take(action string, r rate, now int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[action]
	if b == nil {
		if a.buckets == nil {
			a.buckets = map[string]*bucket{}
		}
		b = &bucket{}
		a.buckets[action] = b
	}
	return b.take(r, now, 1)
}

// Action says whether the account may call an action once more. An action whose
// rate is counted by stream always passes here: see Stream.Action.
func (m *Manager) Action(action string) bool {
	r, ok := actionRates[action]
	return !ok || r.scope != perAccount || !m.on() || m.account.take(action, r.rate, m.now().UnixNano())
}

// Action says whether an action may be called once more on this stream; those
// whose rate is counted by account always pass here.
func (s *Stream) Action(action string) bool {
	r, ok := actionRates[action]
	return !ok || r.scope != perStream || !s.m.on() || s.actions.take(action, r.rate, s.m.now().UnixNano())
}
