package output

import (
	"fmt"
	"io"
)

// Result says what became of one of the things that a command was asked to change.
type Result struct {
	Name   string // of the topic or group
	Done   string // "created", "deleted"; empty on failure
	Detail string // more for a person: "3 partitions"
	Err    error
	// Partitions is how many a topic has now, 0 where that is not the question.
	Partitions int32
	// Changed and Unchanged tell apart, where it failed half-way, what of it
	// was changed before and what was not.
	Changed, Unchanged []string
}

type jsonResult struct {
	Name       string   `json:"name"`
	Status     string   `json:"status"`
	Partitions int32    `json:"partitions,omitempty"`
	Changed    []string `json:"changed,omitempty"`
	Unchanged  []string `json:"unchanged,omitempty"`
	Error      string   `json:"error,omitempty"`
}

// FailedError says that part of what was asked failed. What failed has been
// printed already.
type FailedError struct{ Failed, Total int }

func (e *FailedError) Error() string { return fmt.Sprintf("%d of %d failed", e.Failed, e.Total) }

// WriteFailures prints why some of the things that were asked for cannot be shown,
// and returns an error if there are any.
func WriteFailures(errs io.Writer, failed []error, total int) error {
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed {
		fmt.Fprintf(errs, "streamweir: %v\n", err)
	}
	return &FailedError{Failed: len(failed), Total: total}
}

// WriteResults prints what was done to out and what failed to errs, and
// returns an error if anything failed.
func WriteResults(out, errs io.Writer, format Format, noun string, results []Result) error {
	failed := 0
	list := make([]jsonResult, 0, len(results))
	for _, r := range results {
		item := jsonResult{Name: r.Name, Status: r.Done, Partitions: r.Partitions, Changed: r.Changed, Unchanged: r.Unchanged}
		if r.Err != nil {
			failed++
			item.Status, item.Error = "failed", r.Err.Error()
			fmt.Fprintf(errs, "streamweir: %s %q: %v\n", noun, r.Name, r.Err)
		}
		list = append(list, item)
	}
	if format == JSON {
		if err := WriteJSON(out, list); err != nil {
			return err
		}
	} else if err := writeDone(out, noun, results); err != nil {
		return err
	}
	if failed > 0 {
		return &FailedError{Failed: failed, Total: len(results)}
	}
	return nil
}

func writeDone(out io.Writer, noun string, results []Result) error {
	for _, r := range results {
		if r.Err != nil {
			continue
		}
		detail := ""
		if r.Detail != "" {
			detail = " (" + r.Detail + ")"
		}
		if _, err := fmt.Fprintf(out, "%s %s %q%s\n", r.Done, noun, r.Name, detail); err != nil {
			return err
		}
	}
	return nil
}
