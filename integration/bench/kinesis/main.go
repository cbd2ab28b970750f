package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// config is what the flags say.
type config struct {
	comparison.Config
	streamweir string
	node       string
	emulators  string // where npm installed them
	maxBytes   int64  // of data put in a warm-up or a measurement
	rate       int    // records a second of fan-out
}

func main() {
	os.Exit(comparison.ExitCode("bench-compare-kinesis", compare(os.Args[1:])))
}

func compare(args []string) error {
	c := config{rate: fanOutRate}
	suite := c.suite()
	if err := c.parse(suite, args); err != nil {
		return err
	}
	return suite.Run(context.Background())
}

func (c *config) suite() *comparison.Suite {
	return &comparison.Suite{
		Config:    &c.Config,
		About:     "bench-compare-kinesis measures Streamweir's Kinesis API beside kinesalite and kinesis-local.",
		RatioTo:   "kinesalite, which keeps its data in memory",
		Systems:   systems(c),
		Scenarios: scenarios(c),
		First:     firstRecord,
		DiskBytes: func() int64 { return 3 * c.maxBytes },
		Load: func() string {
			return fmt.Sprintf("at most %.1f GB; one request at a time on a connection", float64(c.maxBytes)/1e9)
		},
	}
}

func (c *config) parse(suite *comparison.Suite, args []string) error {
	flags := flag.NewFlagSet("bench-compare-kinesis", flag.ContinueOnError)
	suite.Flags(flags)
	var gigabytes float64
	flags.Float64Var(&gigabytes, "gb", 2, "end warm-up and measurement of a put run after so many GB (1e9 bytes) of data each")
	flags.StringVar(&c.streamweir, "streamweir", filepath.Join("bin", "streamweir"), "the built binary")
	flags.StringVar(&c.node, "node", "node", "Node.js, which runs the emulators")
	flags.StringVar(&c.emulators, "emulators", filepath.Join("bin", "kinesis-emulators"), "where npm has installed the emulators")
	if err := suite.Parse(flags, args); err != nil {
		return err
	}
	c.maxBytes = int64(gigabytes * 1e9)
	if c.maxBytes <= 0 {
		return errors.New("-gb must be above zero")
	}
	return nil
}
