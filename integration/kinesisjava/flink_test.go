package kinesisjava

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// A Flink job copies a stream, whose shard is split meanwhile, to another one:
// with the source and the sink of today, and with the older consumer through
// enhanced fan-out.
func TestFlinkSourceAndSink(t *testing.T) { flink(t, "source") }

func TestFlinkFanOut(t *testing.T) { flink(t, "fanout") }

func flink(t *testing.T, how string) {
	records := min(kclRecords(t), 3000)
	s := harness.Start(t, harness.Config("kinesis.limits", "off"))
	a := harness.AWS{URL: s.AWSURL(), Server: s}
	app := &app{T: t, aws: a, cl: a.Kinesis(), stream: a.Stream(t, 2), within: takes}
	to := a.Stream(t, 2)
	arn := harness.WaitActive(t, app.cl, app.stream).StreamARN
	app.put(records / 2)
	job := harness.Background(t, javaOf(t, "testdata/flink-java", []string{
		"-Xmx512m", "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.time=ALL-UNNAMED",
	}, "Copy", a.URL, app.stream, *arn, to, how), nil)
	copied := func(want int) func() error {
		return func() error {
			found := map[string]bool{}
			for _, list := range harness.ReadStream(t, app.cl, to) {
				for _, r := range list {
					found[string(r.Data)] = true
				}
			}
			select {
			case <-job.Exited():
				t.Fatalf("the job has ended:\n%s", job.Output())
			default:
			}
			for i := range want {
				if !found[strconv.Itoa(i)] {
					return fmt.Errorf("record %d of %d is not there; %d are", i, want, len(found))
				}
			}
			if len(found) > want {
				t.Fatalf("%d different records, and only %d were put", len(found), want)
			}
			return nil
		}
	}
	harness.Eventually(t, takes, "the first records are copied", copied(records/2))
	app.split("shardId-000000000000")
	app.put(records - records/2)
	harness.Eventually(t, takes, "records of the children are copied", copied(records))
}
