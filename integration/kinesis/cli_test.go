package kinesis

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/streamweir/streamweir/integration/harness"
)

// cli calls `streamweir stream`.
type cli struct {
	*testing.T
	a   harness.AWS
	bin string
}

func (c *cli) command(args ...string) *exec.Cmd {
	c.Helper()
	cmd := exec.Command(c.bin, append([]string{"stream", "--endpoint-url", c.a.URL}, args...)...)
	cmd.Env = append(cmd.Environ(), harness.AWSEnviron()...)
	if c.a.Server != nil {
		cmd.Args = append(cmd.Args, "--timeout", "30s")
	}
	return cmd
}

// run runs a command with an input, and returns its status, output and errors.
func (c *cli) run(in string, args ...string) (status int, out, errs string) {
	c.Helper()
	p := harness.Background(c, c.command(args...), strings.NewReader(in))
	status = p.Wait(c, harness.Long)
	return status, p.Stdout(), p.Stderr()
}

func (c *cli) ok(in string, args ...string) string {
	c.Helper()
	status, out, errs := c.run(in, args...)
	if status != 0 {
		c.Fatalf("%q: status %d: %s", args, status, errs)
	}
	return out
}

func (c *cli) fails(want int, says string, args ...string) {
	c.Helper()
	status, _, errs := c.run("", args...)
	if status != want || !strings.Contains(errs, says) {
		c.Errorf("%q: status %d, %q; want %d and %q", args, status, errs, want, says)
	}
}

// The life of a stream on the command line.
func TestStreamCommands(t *testing.T) {
	harness.OnlyOurAWS(t, "the words of errors")
	a := harness.SharedAWS(t)
	c := &cli{T: t, a: a, bin: harness.Binary(t)}
	name := harness.Name(t, "s")
	if got := c.ok("", "create", name, "-n", "2", "--tag", "team=web", "--retention", "2d"); got != fmt.Sprintf("created stream %q (2 shards)\n", name) {
		t.Errorf("create: %q", got)
	}
	c.fails(1, "(ResourceInUseException)", "create", name)
	c.ok("", "create", name, "--if-not-exists")
	if got := c.ok("", "list", "-o", "name"); !slices.Contains(strings.Split(got, "\n"), name) {
		t.Errorf("list: %q", got)
	}
	if got := c.ok("", "describe", name); !strings.Contains(got, "48 hours") || !strings.Contains(got, "team=web") || !strings.Contains(got, "shardId-000000000001  open") {
		t.Errorf("describe:\n%s", got)
	}

	c.ok("a:1\nb:2\nc:3\n", "put", name, "-K", ":")
	got := strings.Split(strings.TrimSpace(c.ok("", "get", name, "-f", `%k=%s\n`)), "\n")
	slices.Sort(got)
	if want := []string{"a=1", "b=2", "c=3"}; !slices.Equal(got, want) {
		t.Errorf("get: %q, want %q", got, want)
	}
	if got := c.ok("", "get", name, "-n", "1", "-o", "json"); !json.Valid([]byte(got)) || !strings.Contains(got, `"sequence_number":"`) {
		t.Errorf("get -o json: %q", got)
	}
	c.fails(1, "the record has more than 1048576 bytes", "put", name, "-k", strings.Repeat("k", 200), "--whole-file", "-f", harness.Binary(t))

	if got := c.ok("", "split", name, "shardId-000000000000"); !strings.Contains(got, "3 open shards: closed shardId-000000000000; opened shardId-000000000002, shardId-000000000003") {
		t.Errorf("split: %q", got)
	}
	if got := c.ok("", "merge", name, "shardId-000000000002", "shardId-000000000003"); !strings.Contains(got, "opened shardId-000000000004") {
		t.Errorf("merge: %q", got)
	}
	var reshaped struct {
		OpenShards int `json:"open_shards"`
	}
	if err := json.Unmarshal([]byte(c.ok("", "reshard", name, "-n", "5", "-o", "json")), &reshaped); err != nil || reshaped.OpenShards != 5 {
		t.Errorf("reshard: %+v, %v", reshaped, err)
	}
	if got := c.ok("", "get", name); strings.Count(got, "\n") != 3 {
		t.Errorf("after all that, get has %q", got)
	}
	c.fails(1, "has no shard", "split", name, "shardId-000000000099")
	c.fails(2, "add --yes", "delete", name)
	c.ok("", "delete", name, "--yes")
	c.fails(1, "(ResourceNotFoundException)", "delete", name, "--yes")
	c.ok("", "delete", name, "--yes", "--if-exists")
	c.fails(1, "(ResourceNotFoundException)", "put", name)
	c.a.URL = "http://127.0.0.1:1"
	c.fails(3, "connection refused; is `streamweir serve` running?", "list")
}

// tail prints what comes, follows a shard into its children, and leaves no
// consumer behind.
func TestStreamTail(t *testing.T) {
	harness.OnlyOurAWS(t, "they do not send the first message that the SDK waits for")
	a := harness.SharedAWS(t)
	cl := a.Kinesis()
	c := &cli{T: t, a: a, bin: harness.Binary(t)}
	name := a.Stream(t, 1)
	c.ok("before\n", "put", name)
	tail := harness.Background(t, c.command("tail", name, "--from", "beginning"), nil)
	want := func(text string) {
		t.Helper()
		harness.Eventually(t, harness.Long, "tail prints "+text, func() error {
			if got := tail.Stdout(); got != text {
				return fmt.Errorf("it has printed %q and said %q", got, tail.Stderr())
			}
			return nil
		})
	}
	want("before\n")
	c.ok("pushed\n", "put", name)
	want("before\npushed\n")
	c.ok("", "split", name, "shardId-000000000000")
	c.ok("k:after\n", "put", name, "-K", ":")
	want("before\npushed\nafter\n")
	tail.Signal(t, syscall.SIGINT)
	if code := tail.Wait(t, harness.Long); code != 0 {
		t.Errorf("tail ended with %d: %s", code, tail.Stderr())
	}
	arn := harness.WaitActive(t, cl, name).StreamARN
	harness.Eventually(t, harness.Long, "no consumer is left", func() error {
		out, err := cl.ListStreamConsumers(harness.Context(t, harness.Long), &kinesis.ListStreamConsumersInput{StreamARN: arn})
		if err == nil && len(out.Consumers) > 0 {
			err = fmt.Errorf("there is %s, %s", *out.Consumers[0].ConsumerName, out.Consumers[0].ConsumerStatus)
		}
		return err
	})
}
