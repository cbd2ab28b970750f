package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// config is what the flags say.
type config struct {
	self       string // this program, to run kfake
	streamweir string
	kafka      string
	dir        string
	systems    []*system
	scenarios  []scenario
	rounds     int
	warmup     time.Duration
	measure    time.Duration
	idle       time.Duration
	maxBytes   int64
	inFlight   int
	perRequest int // batches in a produce request; 0: one for each partition of the connection
	jsonFile   string
	markdown   string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == kfakeCommand {
		exit(serveKfake(os.Args[2:]))
	}
	// Brokers are started so that the kernel ends them when the thread that
	// started them does (ownGroup); a locked thread lives as long as main.
	runtime.LockOSThread()
	exit(compare(os.Args[1:]))
}

func exit(err error) {
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintf(os.Stderr, "compare: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func compare(args []string) error {
	c, err := parseFlags(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	r := results{systems: c.systems}
	if err := c.runAll(ctx, &r); err != nil {
		return err
	}
	return c.write(&r)
}

// runAll goes through the rounds: in each, every scenario on every system, each
// round beginning with another system so that none is always first.
func (c *config) runAll(ctx context.Context, r *results) error {
	for round := range c.rounds {
		for _, scenario := range c.scenarios {
			for i := range c.systems {
				system := c.systems[(i+round)%len(c.systems)]
				metrics, err := c.runOne(ctx, system, scenario)
				if err != nil {
					return fmt.Errorf("round %d, %s, %s: %w", round+1, scenario.name, system.name, err)
				}
				r.add(system.name, metrics)
				fmt.Fprintf(os.Stderr, "round %d/%d %-8s %-18s %s\n", round+1, c.rounds, scenario.name, system.name, inShort(metrics))
			}
		}
	}
	return nil
}

func inShort(metrics []metric) string {
	var parts []string
	for _, m := range metrics {
		parts = append(parts, fmt.Sprintf("%.*f %s", m.decimals, m.value, m.name))
	}
	return strings.Join(parts, ", ")
}

// runOne is one scenario on one fresh broker, which is gone when it returns.
func (c *config) runOne(ctx context.Context, s *system, sc scenario) ([]metric, error) {
	free, err := freeBytes(c.dir)
	if err != nil {
		return nil, err
	}
	if need := 3*c.maxBytes + minFree; free < need {
		return nil, fmt.Errorf("%s has %.1f GB free, a run may need %.1f: make room, or lower -bytes, or name another -dir",
			c.dir, float64(free)/1e9, float64(need)/1e9)
	}
	if err := settle(c.dir); err != nil {
		return nil, err
	}
	b, err := launch(c, s)
	if err != nil {
		return nil, err
	}
	defer b.close()
	took, err := b.ready(ctx)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	if err != nil {
		return nil, err
	}
	metrics, err := sc.run(ctx, c, b, took)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	if err != nil {
		return nil, fmt.Errorf("%w; the broker's last words:\n%s", err, b.proc.logTail())
	}
	return metrics, nil
}

var errInterrupted = errors.New("interrupted")

// minFree is space that a run leaves to others.
const minFree = 2 << 30

func (c *config) write(r *results) error {
	notes := c.notes()
	for _, line := range notes {
		fmt.Println(line)
	}
	fmt.Println()
	if err := r.writeText(os.Stdout); err != nil {
		return err
	}
	if doubts := r.doubts(); len(doubts) > 0 {
		fmt.Printf("\nTo keep in mind:\n  %s\n", strings.Join(doubts, "\n  "))
	}
	if err := writeFile(c.jsonFile, func(w io.Writer) error { return r.writeJSON(w, notes) }); err != nil {
		return err
	}
	return writeFile(c.markdown, r.writeMarkdown)
}

func writeFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// notes say what was measured, on what and how.
func (c *config) notes() []string {
	notes := []string{
		fmt.Sprintf("%s; %s/%s, %d CPUs, %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), strings.Join(machine(), ", ")),
		fmt.Sprintf("medians of %d rounds, fresh process and directory for each run; %v warm-up, %v measured or %.1f GB, %d requests in flight on a connection",
			c.rounds, c.warmup, c.measure, float64(c.maxBytes)/1e9, c.inFlight),
		"(xN): ratio to Apache Kafka at equal durability",
	}
	for _, s := range c.systems {
		ratio := "the baseline at this durability"
		if s.baseline != "" {
			ratio = "beside " + s.baseline
		}
		notes = append(notes, fmt.Sprintf("  %-18s %s; durable: %s; %s", s.name, s.what, s.durable, ratio))
	}
	if inMemory(c.dir) {
		notes = append(notes, "WARNING: "+c.dir+" is in memory: fsync costs nothing there, and the figures say nothing about a disk")
	}
	return notes
}

func parseFlags(args []string) (*config, error) {
	var c config
	var systemNames, scenarioNames string
	var gigabytes float64
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.StringVar(&systemNames, "systems", "", "which systems, separated by commas (default: all but kfake-memory)")
	flags.StringVar(&scenarioNames, "scenarios", "", "which scenarios, separated by commas (default: all)")
	flags.IntVar(&c.rounds, "rounds", 3, "how often each scenario runs on each system")
	flags.DurationVar(&c.measure, "time", 8*time.Second, "measured time of a run")
	flags.DurationVar(&c.warmup, "warmup", 5*time.Second, "the same load before it, unmeasured")
	flags.DurationVar(&c.idle, "idle", 5*time.Second, "how long a broker rests before its idle memory is read, and again for its idle CPU")
	flags.Float64Var(&gigabytes, "gb", 4, "end warm-up and measurement of a produce run after so many GB (1e9 bytes) each")
	flags.IntVar(&c.inFlight, "in-flight", 5, "produce requests on the way on each connection")
	flags.IntVar(&c.perRequest, "batches", 0, "batches in a produce request, each to another partition; 0: one to each partition of the connection,\nas clients send them that have data for all of them")
	flags.StringVar(&c.dir, "dir", defaultDir(), "where the brokers' directories are made; must be on a disk")
	flags.StringVar(&c.streamweir, "streamweir", filepath.Join("bin", "streamweir"), "the built binary")
	flags.StringVar(&c.kafka, "kafka", filepath.Join("scripts", "apache-kafka", "kafka"), "the script that runs Apache Kafka")
	flags.StringVar(&c.jsonFile, "json", "", "also write every round's figures to this file")
	flags.StringVar(&c.markdown, "markdown", "", "also write the table as Markdown to this file")
	flags.Usage = func() { usageText(flags) }
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; -h lists the flags", flags.Arg(0))
	}
	c.maxBytes = int64(gigabytes * 1e9)
	if c.rounds < 1 || c.inFlight < 1 || c.measure <= 0 || c.maxBytes <= 0 || c.perRequest < 0 {
		return nil, errors.New("-rounds, -in-flight, -time and -gb must be above zero")
	}
	var err error
	if c.systems, err = choose(systems(), systemNames, func(s *system) string { return s.name },
		func(s *system) bool { return s.durable != inProcess }); err != nil {
		return nil, fmt.Errorf("-systems: %w", err)
	}
	if c.scenarios, err = choose(scenarios(), scenarioNames, func(s scenario) string { return s.name },
		func(scenario) bool { return true }); err != nil {
		return nil, fmt.Errorf("-scenarios: %w", err)
	}
	return &c, c.findPrograms()
}

// findPrograms fails before anything runs where a program is missing.
func (c *config) findPrograms() error {
	var err error
	if c.self, err = os.Executable(); err != nil {
		return err
	}
	for _, s := range c.systems {
		switch {
		case strings.HasPrefix(s.name, "streamweir"):
			c.streamweir, err = findProgram(c.streamweir, "type: make build")
		case strings.HasPrefix(s.name, "kafka"):
			c.kafka, err = findProgram(c.kafka, "run this from the repository's root, or name it with -kafka")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func findProgram(name, help string) (string, error) {
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w; %s", err, help)
	}
	return filepath.Abs(found)
}

// choose picks by name, in the order of all; without names, those of byDefault.
func choose[T any](all []T, names string, name func(T) string, byDefault func(T) bool) ([]T, error) {
	wanted := map[string]bool{}
	named := strings.TrimSpace(names) != ""
	for n := range strings.SplitSeq(names, ",") {
		if n = strings.TrimSpace(n); n != "" {
			wanted[n] = true
		}
	}
	var chosen []T
	var known []string
	for _, one := range all {
		known = append(known, name(one))
		if wanted[name(one)] || (!named && byDefault(one)) {
			chosen = append(chosen, one)
		}
		delete(wanted, name(one))
	}
	for n := range wanted {
		return nil, fmt.Errorf("%q is not known; known are %s", n, strings.Join(known, ", "))
	}
	return chosen, nil
}

// defaultDir prefers the directory for temporary files that is on a disk by
// convention; /tmp often is in memory.
func defaultDir() string {
	const onDisk = "/var/tmp"
	if info, err := os.Stat(onDisk); err == nil && info.IsDir() {
		return onDisk
	}
	return os.TempDir()
}

func usageText(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprintln(w, "compare measures Streamweir beside Apache Kafka and kfake.\n\nScenarios:")
	for _, s := range scenarios() {
		fmt.Fprintf(w, "  %-18s %s\n", s.name, s.what)
	}
	fmt.Fprintln(w, "\nSystems:")
	for _, s := range systems() {
		fmt.Fprintf(w, "  %-18s %s\n", s.name, s.what)
	}
	fmt.Fprintln(w, "\nFlags:")
	flags.PrintDefaults()
}
