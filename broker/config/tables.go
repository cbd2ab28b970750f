package config

import (
	"slices"
	"sync"
)

// tables gathers the definitions: first the settings with an effect, then
// Kafka's others.
var tables = sync.OnceValue(func() []Key {
	return slices.Concat(serverKeys(), logKeys(), groupKeys(), awsKeys(), kinesisKeys(), kafkaKeys())
})

// nearest finds the known name that is closest to an unknown one, or "" where
// none is close.
func nearest(name string) string {
	best, dist := "", len(name)/3+2
	for i := range tables() {
		k := &tables()[i]
		if d := distance(name, k.Name, dist); d < dist {
			best, dist = k.Name, d
		}
	}
	return best
}

// distance counts the single-character edits between two names, or returns
// limit where they are at least that many.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit)
}
