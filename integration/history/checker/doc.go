// Package checker finds what a broker did wrong in a history of what its
// clients sent, were told and saw. It is a pure function of the history: no
// connection, no clock.
//
// A history holds operations with the times at which they began and ended, all
// from one monotonic clock. Rules that compare two operations in time only do
// so where one ended before the other began; whatever could have happened in
// either order is allowed. So a finding is never a matter of chance: the broker
// broke a promise, or the history is wrong.
//
// The vocabulary follows Jepsen's for Kafka where it has a word.
package checker
