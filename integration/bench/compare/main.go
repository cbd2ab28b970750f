package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// config is what the flags say.
type config struct {
	comparison.Config
	self       string // this program, to run kfake
	streamweir string
	kafka      string
	maxBytes   int64
	inFlight   int
	perRequest int // batches in a produce request; 0: one for each partition of the connection
}

func main() {
	run := compare
	args := os.Args[1:]
	if len(args) > 0 && args[0] == kfakeCommand {
		run, args = serveKfake, args[1:]
	}
	os.Exit(comparison.ExitCode("compare", run(args)))
}

func compare(args []string) error {
	var c config
	suite := c.suite()
	if err := c.parse(suite, args); err != nil {
		return err
	}
	return suite.Run(context.Background())
}

func (c *config) suite() *comparison.Suite {
	return &comparison.Suite{
		Config:    &c.Config,
		About:     "compare measures Streamweir beside Apache Kafka and kfake.",
		RatioTo:   "Apache Kafka at equal durability",
		Systems:   systems(c),
		Scenarios: scenarios(c),
		First:     firstRecord,
		DiskBytes: func() int64 { return 3 * c.maxBytes },
		Load: func() string {
			return fmt.Sprintf("at most %.1f GB; %d requests in flight on a connection", float64(c.maxBytes)/1e9, c.inFlight)
		},
	}
}

func (c *config) parse(suite *comparison.Suite, args []string) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	suite.Flags(flags)
	var gigabytes float64
	flags.Float64Var(&gigabytes, "gb", 4, "end warm-up and measurement of a produce run after so many GB (1e9 bytes) each")
	flags.IntVar(&c.inFlight, "in-flight", 5, "produce requests on the way on each connection")
	flags.IntVar(&c.perRequest, "batches", 0, "batches in a produce request, each to another partition; 0: one to each partition of the connection,\nas clients send them that have data for all of them")
	flags.StringVar(&c.streamweir, "streamweir", filepath.Join("bin", "streamweir"), "the built binary")
	flags.StringVar(&c.kafka, "kafka", filepath.Join("scripts", "apache-kafka", "kafka"), "the script that runs Apache Kafka")
	if err := suite.Parse(flags, args); err != nil {
		return err
	}
	c.maxBytes = int64(gigabytes * 1e9)
	if c.inFlight < 1 || c.maxBytes <= 0 || c.perRequest < 0 {
		return errors.New("-in-flight and -gb must be above zero")
	}
	var err error
	c.self, err = os.Executable()
	return err
}

// percentiles are those that a user of a broker waits for.
func percentiles(scenario string, latencies []time.Duration) ([]comparison.Metric, error) {
	return comparison.Percentiles(scenario, latencies, comparison.P50, comparison.P99)
}
