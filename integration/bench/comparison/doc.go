// Package comparison runs the same scenarios on several systems and prints one
// table: every run on a fresh process and an empty directory, systems in turn
// over several rounds, medians of the rounds with their ratio to a baseline.
//
// The CPU time and memory of a system are read from outside, from /proc; the
// load generator is the program that uses this package, and its own CPU time is
// measured with the system's and printed beside it.
package comparison
