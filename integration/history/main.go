// Command history checks a broker: many clients drive it while it is killed,
// paused and cut off, and what they were told and saw is searched for promises
// that were broken. docs/checking.md says how to use it and what its findings
// mean.
//
// It imports no package of the project: Streamweir is the built binary.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/streamweir/streamweir/integration/history/checker"
	"github.com/streamweir/streamweir/integration/history/workload"
)

// Exit statuses.
const (
	exitClean    = 0
	exitFindings = 1
	exitFailed   = 2 // there is no verdict
)

func main() {
	// Brokers are started so that the kernel ends them when the thread that
	// started them does; a locked thread lives as long as main.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(exitClean)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "history: %v\n", err)
		os.Exit(exitFailed)
	}
	total, err := o.run(ctx, os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "history: %v\n", err)
		os.Exit(exitFailed)
	case total.findings() > 0:
		os.Exit(exitFindings)
	}
}

// options are what the flags say.
type options struct {
	system  string
	binary  string
	script  string
	dir     string
	minutes float64
	config  []string
	env     []string
	workload.Config
}

func parse(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("history", flag.ContinueOnError)
	fs.StringVar(&o.system, "system", "streamweir", "`what` to check: streamweir, apache-kafka, or the HOST:PORT of a broker, which is then not killed")
	fs.StringVar(&o.binary, "binary", "bin/streamweir", "Streamweir's `binary`")
	fs.StringVar(&o.script, "script", "scripts/apache-kafka/kafka", "the `script` that runs Apache Kafka")
	fs.StringVar(&o.dir, "dir", "", "`directory` for data and logs, which stay there; default: a temporary one, which is removed unless there are findings")
	fs.Float64Var(&o.minutes, "minutes", 2, "how long: as many rounds as fit")
	fs.Uint64Var(&o.Seed, "seed", uint64(time.Now().UnixNano()), "what decides the choices")
	fs.DurationVar(&o.Load, "load", 45*time.Second, "how long each round sends and disturbs")
	fs.DurationVar(&o.Settle, "settle", 60*time.Second, "in which everything has to be reached after it")
	fs.IntVar(&o.Rate, "rate", 800, "records per second")
	fs.DurationVar(&o.Every, "every", 4*time.Second, "mean time between two disturbances")
	fs.BoolVar(&o.Transactions, "transactions", true, "send transactions, too")
	fs.BoolVar(&o.Compaction, "compaction", true, "use a compacted topic, too")
	protocols := fs.String("protocols", "kafka,kinesis", "comma-separated `list`: kafka has topics of its own, kinesis has streams that both protocols write and read")
	disturb := fs.String("disturb", "all", "comma-separated `list` of what is done to the broker")
	fs.Func("set", "`KEY=VALUE` of the broker's configuration, repeatable", func(kv string) error {
		o.config = append(o.config, kv)
		return nil
	})
	fs.Func("env", "`NAME=VALUE` for the broker's environment, repeatable", func(kv string) error {
		o.env = append(o.env, kv)
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	for name := range strings.SplitSeq(*protocols, ",") {
		switch strings.TrimSpace(name) {
		case "kafka":
			o.Kafka = true
		case "kinesis":
			o.Kinesis = true
		default:
			return nil, fmt.Errorf("protocol %q is not known; known are kafka and kinesis", name)
		}
	}
	var err error
	o.Disturb, err = workload.ParseDisturbances(*disturb)
	return o, err
}

// open makes the system to check.
func (o *options) open(dir string) (*workload.System, error) {
	var sys *workload.System
	var err error
	switch {
	case o.system == "streamweir":
		binary, e := filepath.Abs(o.binary)
		if e != nil {
			return nil, e
		}
		sys, err = workload.Streamweir(binary, dir, o.Seed, o.config...)
	case o.system == "apache-kafka":
		sys, err = workload.ApacheKafka(o.script, dir, o.config...)
	case strings.Contains(o.system, ":"):
		return workload.At(o.system), nil
	default:
		return nil, fmt.Errorf("system %q is not known; known are streamweir, apache-kafka, and addresses", o.system)
	}
	if err == nil && len(o.env) > 0 {
		sys = sys.WithEnv(o.env...)
	}
	return sys, err
}

// run does as many rounds as fit into the time, prints each one's findings, and
// the sum of all.
func (o *options) run(ctx context.Context, out io.Writer) (total *summary, err error) {
	dir, temporary := o.dir, false
	if dir == "" {
		temporary = true
		if dir, err = os.MkdirTemp("", "streamweir-history-"); err != nil {
			return nil, err
		}
	}
	o.Log = func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	sys, err := o.open(dir)
	if err != nil {
		return nil, err
	}
	if o.Kinesis && !sys.Kinesis() {
		o.Log("%s serves no streams: Kafka alone is checked", sys.Name())
		o.Kafka, o.Kinesis = true, false
	}
	total = newSummary(sys.Name(), o.Seed)
	defer func() {
		e := sys.Stop()
		if err == nil {
			err = e
		}
		if temporary && err == nil && total.findings() == 0 {
			err = os.RemoveAll(dir)
		} else if sys.Ours() {
			o.Log("data and logs: %s", dir)
		}
	}()
	if err := sys.Start(ctx); err != nil {
		return total, err
	}
	run := workload.NewRun(o.Config, sys)
	for n := 1; n == 1 || total.took()+o.Load < time.Duration(o.minutes*float64(time.Minute)); n++ {
		history, err := run.Round(ctx, n)
		if err != nil {
			return total, err
		}
		found := checker.Check(history)
		total.add(history, found)
		total.cuts = run.Cuts()
		for _, f := range found.Found {
			f.Print(out)
		}
		o.Log("round %d: %s", n, inShort(history, found))
	}
	total.print(out)
	return total, nil
}
