package output

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrNotConfirmed is returned when the user said no.
var ErrNotConfirmed = errors.New("nothing was done")

// Confirm asks a question on a terminal and returns nil for yes. Where there
// is no terminal to ask on, it says which flag stands for yes.
func Confirm(in io.Reader, prompt io.Writer, question string) error {
	if !IsTerminal(in) {
		return Usage("this cannot be undone and there is no terminal to ask on: add --yes to go ahead")
	}
	return ask(in, prompt, question)
}

func ask(in io.Reader, prompt io.Writer, question string) error {
	if _, err := fmt.Fprintf(prompt, "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return ErrNotConfirmed
}
