package wire

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// api is one key of the protocol: which versions are served, and how to ask
// and judge an answer in each of them.
type api struct {
	key      int16
	min, max int16 // as ApiVersions has to say
	first    int16 // the first version that is really served, where not min
	ask      func(e *env, v int16) (kmsg.Request, func(kmsg.Response) error)
}

// served is every key that the broker has to serve.
func served() []api {
	return slices.Concat(logAPIs(), topicAPIs(), groupAPIs(), coordinatorAPIs(), txnLogAPIs())
}

// Every served key answers a sane request rightly in every version.
func TestEveryVersionOfEveryKey(t *testing.T) {
	e := newEnv(t, 2)
	for _, a := range served() {
		t.Run(kmsg.NameForKey(a.key), func(t *testing.T) {
			for v := max(a.min, a.first); v <= a.max; v++ {
				t.Run(fmt.Sprintf("v%d", v), func(t *testing.T) {
					e := e.with(t)
					req, judge := a.ask(e, v)
					req.SetVersion(v)
					resp, err := e.c.RoundTrip(req)
					if err != nil {
						e.redial()
						t.Fatal(err)
					}
					if err := judge(resp); err != nil {
						t.Errorf("%v\nanswer: %+v", err, resp)
					}
				})
			}
		})
	}
}

// ApiVersions names every served key with its whole range, and none that this
// table does not have.
func TestApiVersionsSaysWhatIsServed(t *testing.T) {
	e := newEnv(t, 1)
	r := harness.Ask[*kmsg.ApiVersionsResponse](t, e.c, apiVersions(3))
	got := map[int16][2]int16{}
	for _, k := range r.ApiKeys {
		if _, twice := got[k.ApiKey]; twice {
			t.Errorf("%s is listed twice", kmsg.NameForKey(k.ApiKey))
		}
		got[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	for _, a := range served() {
		if want := [2]int16{a.min, a.max}; got[a.key] != want {
			t.Errorf("%s: versions %v, want %v", kmsg.NameForKey(a.key), got[a.key], want)
		}
		delete(got, a.key)
	}
	if harness.AgainstKafka() {
		return // it serves much that is not in the table
	}
	for key, versions := range got {
		t.Errorf("%s: served in versions %v, but not tested here", kmsg.NameForKey(key), versions)
	}
}

func apiVersions(v int16) *kmsg.ApiVersionsRequest {
	req := harness.At(kmsg.NewPtrApiVersionsRequest(), v)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "wire-test", "1.0"
	return req
}

// as gives a judge its answer in its own type.
func as[R kmsg.Response](judge func(R) error) func(kmsg.Response) error {
	return func(resp kmsg.Response) error { return judge(resp.(R)) }
}
