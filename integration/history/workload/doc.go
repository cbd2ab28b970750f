// Package workload makes a history: it drives a broker with many clients at
// once, disturbs it meanwhile, and writes down what every client asked for, was
// told and saw. Package checker then judges it.
//
// A run is made of rounds. Each has topics and groups of its own on the same
// broker and data directory, so that what is kept in memory is one round's, and
// a broker grows old over many of them. What is chosen at random comes from the
// seed; what the machine does with it does not.
package workload
