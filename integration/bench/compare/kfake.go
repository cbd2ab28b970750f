package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// kfakeCommand as the first argument turns this program into a broker, so that
// kfake is measured as a process of its own.
const kfakeCommand = "kfake-broker"

func serveKfake(args []string) error {
	flags := flag.NewFlagSet(kfakeCommand, flag.ContinueOnError)
	port := flags.Int("port", 0, "port to listen on at 127.0.0.1")
	dir := flags.String("dir", "", "directory for data; without it, memory")
	sync := flags.Bool("sync", false, "fsync every batch")
	if err := flags.Parse(args); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	options := []kfake.Opt{kfake.NumBrokers(1), kfake.Ports(*port)}
	if *dir != "" {
		options = append(options, kfake.DataDir(*dir))
	}
	if *sync {
		options = append(options, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return fmt.Errorf("start kfake on port %d: %w", *port, err)
	}
	defer cluster.Close()
	<-stop
	return nil
}
