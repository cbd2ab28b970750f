package comparison

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Scenario is one run on a fresh server. A run may fill several rows of the table.
type Scenario struct {
	Name string
	What string
	// Run gets the time from the server's start to its first acknowledgement. An
	// error that wraps ErrNotServed leaves a gap in the table where the system may
	// have gaps; any other ends all.
	Run func(context.Context, *Server, time.Duration) ([]Metric, error)
}

// ErrNotServed is why a system has no figures for a scenario.
var ErrNotServed = errors.New("not served")

// Config is what the flags of every comparison say.
type Config struct {
	Dir      string
	Rounds   int
	Warmup   time.Duration
	Measure  time.Duration
	Idle     time.Duration
	JSONFile string
	Markdown string
}

// Suite is one comparison.
type Suite struct {
	*Config
	About     string // what is measured beside what, in a line
	RatioTo   string // what the ratios of the table refer to
	Systems   []*System
	Scenarios []Scenario
	// First has a server acknowledge one record; it is tried until it succeeds.
	First func(context.Context, *Server) error
	// DiskBytes is what a run may need.
	DiskBytes func() int64
	// Load describes it, for the notes above the table.
	Load func() string

	systemNames, scenarioNames string
}

// Flags adds those of every comparison.
func (s *Suite) Flags(flags *flag.FlagSet) {
	flags.StringVar(&s.systemNames, "systems", "", "which systems, separated by commas (default: all that are not optional)")
	flags.StringVar(&s.scenarioNames, "scenarios", "", "which scenarios, separated by commas (default: all)")
	flags.IntVar(&s.Rounds, "rounds", 3, "how often each scenario runs on each system")
	flags.DurationVar(&s.Measure, "time", 8*time.Second, "measured time of a run")
	flags.DurationVar(&s.Warmup, "warmup", 5*time.Second, "the same load before it, unmeasured")
	flags.DurationVar(&s.Idle, "idle", 5*time.Second, "how long a broker rests before its idle memory is read, and again for its idle CPU")
	flags.StringVar(&s.Dir, "dir", defaultDir(), "where the brokers' directories are made; must be on a disk")
	flags.StringVar(&s.JSONFile, "json", "", "also write every round's figures to this file")
	flags.StringVar(&s.Markdown, "markdown", "", "also write the table as Markdown to this file")
	flags.Usage = func() { s.usageText(flags) }
}

// Parse reads the flags, leaves in the suite only the systems and scenarios that
// they name, and fails where a program that those need is missing.
func (s *Suite) Parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; -h lists the flags", flags.Arg(0))
	}
	if s.Rounds < 1 || s.Measure <= 0 {
		return errors.New("-rounds and -time must be above zero")
	}
	var err error
	if s.Systems, err = choose(s.Systems, s.systemNames, func(s *System) string { return s.Name },
		func(s *System) bool { return !s.Optional }); err != nil {
		return fmt.Errorf("-systems: %w", err)
	}
	if s.Scenarios, err = choose(s.Scenarios, s.scenarioNames, func(s Scenario) string { return s.Name },
		func(Scenario) bool { return true }); err != nil {
		return fmt.Errorf("-scenarios: %w", err)
	}
	for _, system := range s.Systems {
		if system.Find == nil {
			continue
		}
		if err := system.Find(); err != nil {
			return err
		}
	}
	return nil
}

// Run measures and writes the table.
func (s *Suite) Run(ctx context.Context) error {
	// Servers are started so that the kernel ends them when the thread that
	// started them does (OwnGroup); a locked thread lives as long as this.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	r := results{systems: s.Systems}
	if err := s.runAll(ctx, &r); err != nil {
		return err
	}
	return s.write(&r)
}

// ExitCode reports how a comparison ended, and says with what its process ends.
func ExitCode(program string, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	return 1
}

// runAll goes through the rounds: in each, every scenario on every system, each
// round beginning with another system so that none is always first.
func (s *Suite) runAll(ctx context.Context, r *results) error {
	for round := range s.Rounds {
		for _, scenario := range s.Scenarios {
			for i := range s.Systems {
				system := s.Systems[(i+round)%len(s.Systems)]
				metrics, err := s.runOne(ctx, system, scenario)
				if system.Gaps && errors.Is(err, ErrNotServed) {
					r.lacks(system.Name, scenario.Name, err)
				} else if err != nil {
					return fmt.Errorf("round %d, %s, %s: %w", round+1, scenario.Name, system.Name, err)
				}
				r.add(system.Name, metrics)
				fmt.Fprintf(os.Stderr, "round %d/%d %-8s %-18s %s\n", round+1, s.Rounds, scenario.Name, system.Name, inShort(metrics))
			}
		}
	}
	return nil
}

func inShort(metrics []Metric) string {
	var parts []string
	for _, m := range metrics {
		parts = append(parts, fmt.Sprintf("%.*f %s", m.Decimals, m.Value, m.Name))
	}
	return strings.Join(parts, ", ")
}

// runOne is one scenario on one fresh server, which is gone when it returns.
func (s *Suite) runOne(ctx context.Context, system *System, scenario Scenario) ([]Metric, error) {
	free, err := freeBytes(s.Dir)
	if err != nil {
		return nil, err
	}
	if need := s.DiskBytes() + minFree; free < need {
		return nil, fmt.Errorf("%s has %.1f GB free, a run may need %.1f: make room, or name another -dir",
			s.Dir, float64(free)/1e9, float64(need)/1e9)
	}
	if err := Settle(s.Dir); err != nil {
		return nil, err
	}
	server, err := launch(s.Dir, system)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	took, err := server.Ready(ctx, s.First)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	if err != nil {
		return nil, err
	}
	metrics, err := scenario.Run(ctx, server, took)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	if err != nil && !(system.Gaps && errors.Is(err, ErrNotServed)) {
		return nil, fmt.Errorf("%w; the broker's last words:\n%s", err, server.Proc.LogTail())
	}
	return metrics, err
}

var errInterrupted = errors.New("interrupted")

// minFree is space that a run leaves to others.
const minFree = 2 << 30

func (s *Suite) write(r *results) error {
	notes := s.notes()
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
	if err := writeFile(s.JSONFile, func(w io.Writer) error { return r.writeJSON(w, notes) }); err != nil {
		return err
	}
	return writeFile(s.Markdown, r.writeMarkdown)
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
func (s *Suite) notes() []string {
	notes := []string{
		fmt.Sprintf("%s; %s/%s, %d CPUs, %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), strings.Join(machine(), ", ")),
		fmt.Sprintf("medians of %d rounds, fresh process and directory for each run; %v warm-up, %v measured; %s",
			s.Rounds, s.Warmup, s.Measure, s.Load()),
		"(xN): ratio to " + s.RatioTo,
	}
	for _, system := range s.Systems {
		ratio := "a baseline"
		if system.Baseline != "" {
			ratio = "beside " + system.Baseline
		}
		notes = append(notes, fmt.Sprintf("  %-18s %s; durable: %s; %s", system.Name, system.What, system.Durable, ratio))
	}
	if inMemory(s.Dir) {
		notes = append(notes, "WARNING: "+s.Dir+" is in memory: fsync costs nothing there, and the figures say nothing about a disk")
	}
	return notes
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

func (s *Suite) usageText(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprintln(w, s.About+"\n\nScenarios:")
	for _, scenario := range s.Scenarios {
		fmt.Fprintf(w, "  %-18s %s\n", scenario.Name, scenario.What)
	}
	fmt.Fprintln(w, "\nSystems:")
	for _, system := range s.Systems {
		optional := ""
		if system.Optional {
			optional = " (optional)"
		}
		fmt.Fprintf(w, "  %-18s %s%s\n", system.Name, system.What, optional)
	}
	fmt.Fprintln(w, "\nFlags:")
	flags.PrintDefaults()
}
