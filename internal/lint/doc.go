// Package lint holds the rules of this repository that no general linter knows:
// who may import whom, how long a file and a function may grow, and calls that
// are kept out because something better exists here. The rules are tests, so
// `go test ./internal/lint` says what breaks them; each has its reason beside it.
package lint
