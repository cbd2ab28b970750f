package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// version is set by the build of a release (-ldflags "-X main.version=...").
var version = ""

// build says what this binary was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Time     string `json:"commit_time"`
	Modified bool   `json:"modified"` // from a tree with uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	return b
}

// line is the sentence of `version` and --version.
func (b build) line() string {
	commit := ""
	if b.Commit != "" {
		commit = " commit " + b.Commit
		if b.Modified {
			commit += " (modified)"
		}
	}
	return fmt.Sprintf("streamweir %s%s %s %s", b.Version, commit, b.Go, b.Platform)
}

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Print the version of this binary",
		Args:              args(cobra.NoArgs, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b := buildInfo()
		if format.Value == output.JSON {
			return output.WriteJSON(cmd.OutOrStdout(), b)
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), b.line())
		return err
	}
	return cmd
}
