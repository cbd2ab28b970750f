//go:build faults

package server

import (
	"os"

	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/faultstore"
)

// plantVariable names the fault.
const plantVariable = "PLANTED_FAULT"

// plant gives the store the fault that the environment asks for.
func plant(s storage.Store) (storage.Store, error) {
	fault := os.Getenv(plantVariable)
	if fault == "" {
		return s, nil
	}
	return faultstore.Plant(s, fault)
}
