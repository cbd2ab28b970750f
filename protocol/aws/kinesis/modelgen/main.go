// Command modelgen writes the messages of the Kinesis API: their types, decoders,
// encoders and constraints. It reads the API's model as botocore ships it:
//
//	pip download --no-deps botocore && unzip botocore-*.whl 'botocore/data/kinesis/*'
//	gunzip botocore/data/kinesis/2013-12-02/service-2.json.gz
//	go run ./protocol/aws/kinesis/modelgen botocore/data/kinesis/2013-12-02/service-2.json ./protocol/aws/kinesis
//
// Last run with botocore 1.44.8. Run it again when the API has grown.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: modelgen service-2.json DIR, where DIR gets the Go files")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "modelgen:", err)
		os.Exit(1)
	}
}

func run(modelFile, dir string) error {
	data, err := os.ReadFile(modelFile)
	if err != nil {
		return err
	}
	var m model
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s: %w", modelFile, err)
	}
	g, err := newGenerator(&m)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		write func()
	}{
		{"actions.go", g.actions},
		{"types.go", g.types},
		{"decode.go", g.decoders},
		{"encode.go", g.encoders},
		{"constraints.go", g.constraints},
		{"validate.go", g.validators},
	} {
		if err := g.file(dir, f.name, f.write); err != nil {
			return err
		}
	}
	return nil
}

// model is the part of a service's model that matters here.
type model struct {
	Metadata   struct{ TargetPrefix string }
	Operations map[string]operation
	Shapes     map[string]*shape
}

type operation struct {
	Input, Output *ref
}

type ref struct{ Shape string }

type shape struct {
	Type        string
	Required    []string
	Members     members
	Member      *ref // of a list
	Key, Value  *ref // of a map
	Min, Max    *int64
	Pattern     string
	Enum        []string
	EventStream bool
}

func (s *shape) requires(member string) bool { return slices.Contains(s.Required, member) }

// members are a structure's members in the order of the model.
type members []member

type member struct{ name, shape string }

// UnmarshalJSON keeps the order that a map would lose.
func (m *members) UnmarshalJSON(data []byte) error {
	var byName map[string]ref
	if err := json.Unmarshal(data, &byName); err != nil {
		return err
	}
	names, err := keysInOrder(data)
	if err != nil {
		return err
	}
	for _, name := range names {
		*m = append(*m, member{name, byName[name].Shape})
	}
	return nil
}
