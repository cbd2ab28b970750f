//go:build !faults

package server

import "github.com/streamweir/streamweir/storage"

// plant returns the store as it is. Builds with the tag faults have another one,
// for the tests of the history checker.
func plant(s storage.Store) (storage.Store, error) { return s, nil }
