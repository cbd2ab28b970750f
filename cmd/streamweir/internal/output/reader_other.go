//go:build !unix

package output

// WhenReaderGone does nothing here: the next write tells.
func WhenReaderGone(any, func()) (stop func()) { return func() {} }
