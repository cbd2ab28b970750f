// Package coordinator is what the coordinators of the broker (packages group and
// txn) have in common: the clock, the timers of a shard and the alarm that rings
// for them, the partition that a name belongs to, the loading of partitions, and
// what clients get to see of all that. It knows neither of them.
package coordinator
