package output

import "fmt"

// UsageError says that the command line is wrong and that nothing was done.
// Its exit status is not that of a failure, so that a script can tell its own
// mistakes from the cluster's.
type UsageError struct{ err error }

// Usage returns a UsageError.
func Usage(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

func (e *UsageError) Error() string { return e.err.Error() }
func (e *UsageError) Unwrap() error { return e.err }
