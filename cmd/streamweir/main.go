// Command streamweir is the one binary: the broker, and the commands to work
// with it or with any other Kafka cluster.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	root := &cobra.Command{Use: "streamweir", SilenceErrors: true}
	root.AddCommand(serveCommand())
	if err := root.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "streamweir:", err)
		os.Exit(1)
	}
}
