package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/format"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/progress"
)

// defaultDeliveryTimeout is Kafka's delivery.timeout.ms.
const defaultDeliveryTimeout = 2 * time.Minute

// sendFlags are those that the commands share which send records.
type sendFlags struct {
	files        []string
	input        *output.Choice
	wholeFile    bool
	delimiter    string
	keyDelimiter string
	key          string
	timeout      time.Duration
	keepGoing    bool
	quiet        bool
}

// add declares the flags. A line of JSON is what the command printer prints.
func (f *sendFlags) add(cmd *cobra.Command, printer string) {
	f.input = output.NewChoice(output.Text, output.JSON)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.files, "file", "f", nil, "read this `FILE` instead of standard input (repeatable; - is standard input)")
	flags.VarP(f.input, "input", "i", "what a line is: text, or a JSON object as "+printer+" prints it")
	flags.BoolVar(&f.wholeFile, "whole-file", false, "send each file as one record")
	flags.StringVarP(&f.delimiter, "delimiter", "D", `\n`, `what stands between records; \n \r \t \0 \xNN are understood`)
	flags.StringVarP(&f.keyDelimiter, "key-delimiter", "K", "", "what stands between key and value; a line without it has no key")
	flags.StringVarP(&f.key, "key", "k", "", "key of every record that brings none")
	flags.DurationVar(&f.timeout, "delivery-timeout", defaultDeliveryTimeout, "give up when records wait and nothing is acknowledged for so long")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "do not stop at the first record that fails")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress and no summary, only errors")
	complete(cmd, "input", f.input.Names()...)
	notEmpty(cmd, "key")
}

// parsing says how a line becomes a record.
func (f *sendFlags) parsing() (input.Parsing, error) {
	p := input.Parsing{Format: input.Lines, Partition: input.AnyPartition}
	delimiter, err := format.Unescape(f.delimiter)
	if err != nil {
		return p, fmt.Errorf("--delimiter: %w", err)
	}
	keyDelimiter, err := format.Unescape(f.keyDelimiter)
	if err != nil {
		return p, fmt.Errorf("--key-delimiter: %w", err)
	}
	p.Delimiter, p.KeyDelimiter = []byte(delimiter), []byte(keyDelimiter)
	if f.key != "" {
		p.Key = []byte(f.key)
	}
	isJSON := f.input.Value == output.JSON
	switch {
	case len(p.Delimiter) == 0:
		return p, errors.New("--delimiter must not be empty; for one record of the whole input write --whole-file")
	case f.wholeFile && (isJSON || f.keyDelimiter != ""):
		return p, errors.New("--whole-file does not go with --input json or --key-delimiter")
	case isJSON && f.keyDelimiter != "":
		return p, errors.New("--key-delimiter is for text; JSON says itself what the key is")
	case f.timeout < time.Second:
		return p, errors.New("--delivery-timeout must be at least 1s")
	case isJSON:
		p.Format, p.Delimiter = input.JSON, []byte("\n")
	case f.wholeFile:
		p.Format = input.Whole
	}
	return p, nil
}

// bar is where progress is shown: on a terminal, unless somebody types there.
func (f *sendFlags) bar(cmd *cobra.Command, files []input.File) *progress.Bar {
	if f.quiet || !output.IsTerminal(cmd.ErrOrStderr()) || output.IsTerminal(files[0].Source) {
		return nil
	}
	return progress.NewBar(cmd.ErrOrStderr())
}

// sent is what a command that sends records has done.
type sent struct {
	progress.Summary
	document any    // the summary as JSON
	verb     string // what was done to the records
}

// finish prints the summary and chooses the exit status.
func (f *sendFlags) finish(cmd *cobra.Command, s sent, summary output.Format, runErr error) error {
	if summary == output.JSON {
		if err := output.WriteJSON(cmd.OutOrStdout(), s.document); err != nil {
			return err
		}
	}
	// What went wrong is said even to who wants to hear nothing else.
	if !f.quiet || s.Failed > 0 || s.Unknown > 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), s.Sentence(s.verb))
	}
	switch {
	case runErr != nil:
		return runErr
	case s.Failed > 0:
		return &output.FailedError{Failed: int(s.Failed), Total: int(s.Failed + s.Acknowledged + s.Unknown)}
	case s.Interrupted:
		return errInterrupted
	}
	return nil
}

// openInputs looks at the files before anything is sent: a misspelt name must
// not leave half of the work done.
func openInputs(files []string, stdin io.Reader) ([]input.File, error) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	var inputs []input.File
	for _, name := range files {
		if name == "-" {
			inputs = append(inputs, input.File{
				Size: sizeOf(stdin), Source: stdin,
				Open: func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil },
			})
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory", name)
		}
		size := int64(-1)
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		inputs = append(inputs, input.File{
			Name: name, Size: size,
			Open: func() (io.ReadCloser, error) { return os.Open(name) },
		})
	}
	return inputs, nil
}

// sizeOf returns what is left of a redirected file, or -1 for a pipe.
func sizeOf(r io.Reader) int64 {
	f, ok := r.(*os.File)
	if !ok {
		return -1
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1
	}
	return max(info.Size()-at, 0)
}

// twoSignals returns a context that ends at the first interruption and one
// that ends at the second.
func twoSignals(parent context.Context) (soft, hard context.Context, stop func()) {
	soft, endSoft := context.WithCancel(parent)
	hard, endHard := context.WithCancel(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for _, end := range []context.CancelFunc{endSoft, endHard} {
			select {
			case <-signals:
				end()
			case <-done:
				return
			}
		}
	}()
	return soft, hard, func() {
		signal.Stop(signals)
		close(done)
		<-finished
		endSoft()
		endHard()
	}
}
