package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/server"
)

// serveCommand starts the server.
func serveCommand() *cobra.Command {
	var o struct {
		config, dataDir, kafkaAddr, awsAddr, adminAddr string
		set                                            []string
	}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long: `Start the server: the Kafka protocol on --kafka-addr and the Kinesis API on
--aws-addr, over the same topics, with the data in --data-dir.

Settings come from a YAML file (--config), from the environment
(STREAMWEIR_LOG_RETENTION_MS for log.retention.ms) and from the command line; the
later one wins. --data-dir, --kafka-addr, --aws-addr and --admin-addr stand
for data.dir, listeners, aws.addr and admin.listener, which --set must not give as well.
docs/configuration.md lists all settings.

SIGINT, SIGTERM or SIGHUP ends what is under way and stops; a second one stops at once.`,
		Example: `  streamweir serve
  streamweir serve --data-dir /var/lib/streamweir --kafka-addr 0.0.0.0:9092 \
      --set advertised.listeners=PLAINTEXT://broker.example.com:9092
  streamweir serve --config streamweir.yaml --set storage.sync=os`,
		Args: args(cobra.NoArgs, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var flags []config.Flag
			given := func(flag, setting, value string) {
				if cmd.Flags().Changed(flag) {
					flags = append(flags, config.Flag{Flag: "--" + flag, Setting: setting, Value: value})
				}
			}
			given("data-dir", "data.dir", o.dataDir)
			given("kafka-addr", "listeners", "PLAINTEXT://"+o.kafkaAddr)
			given("aws-addr", "aws.addr", o.awsAddr)
			given("admin-addr", "admin.listener", o.adminAddr)
			cfg, warnings, err := config.Load(config.Source{
				File: o.config, Environ: serverEnviron(), Flags: flags, Set: o.set,
			})
			if err != nil {
				return misuse(cmd, "%w", err)
			}
			cmd.SilenceUsage = true
			signals := make(chan os.Signal, 2)
			signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
			if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
				signal.Notify(signals, syscall.SIGHUP) // the terminal is gone
			}
			defer signal.Stop(signals)
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			go func() {
				<-signals
				stop()
				<-signals
				os.Exit(exitAtOnce)
			}()
			return server.Run(ctx, cfg, warnings, buildInfo().Version)
		},
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "YAML file with settings")
	f.StringVar(&o.dataDir, "data-dir", "./streamweir-data", "directory of all data")
	f.StringVar(&o.kafkaAddr, "kafka-addr", "127.0.0.1:9092", "address for the Kafka protocol")
	f.StringVar(&o.awsAddr, "aws-addr", "127.0.0.1:4566", "address for the AWS APIs")
	f.StringVar(&o.adminAddr, "admin-addr", "127.0.0.1:9644", "address for /healthz, /readyz and /metrics")
	f.StringArrayVar(&o.set, "set", nil, "any setting, as KEY=VALUE (repeatable)")
	notEmpty(c, "config")
	return c
}

// serverEnviron is the environment without what is for the client commands.
func serverEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, bootstrapVariable+"=")
	})
}

// exitAtOnce is the exit status after a second signal.
const exitAtOnce = 130
