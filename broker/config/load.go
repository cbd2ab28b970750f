package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	// goccy/go-yaml: kept up, without dependencies of its own, and its syntax
	// tree gives each key its line, which error texts here name.
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Source says where settings come from. Later ones win: the file, then the
// environment, then the command line (Flags and Set).
type Source struct {
	// File is the path of a YAML file; empty for none.
	File string
	// Environ is the environment, as os.Environ returns it: the setting
	// log.retention.ms is read from STREAMWEIR_LOG_RETENTION_MS.
	Environ []string
	// Flags are those flags of the command line that stand for one setting each.
	// None of them may be in Set as well: neither is the later one.
	Flags []Flag
	// Set holds KEY=VALUE pairs of the command line.
	Set []string
}

// Flag is a flag of the command line, as --kafka-addr, and the setting that it
// gives.
type Flag struct{ Flag, Setting, Value string }

// maxFileBytes keeps a wrong path (a device, a log) from filling memory.
const maxFileBytes = 1 << 20

// Load reads the settings and checks them. It reports everything that is wrong
// at once. Warnings name settings that were given and have no effect.
func Load(src Source) (c *Config, warnings []string, err error) {
	l := loader{c: Default(), where: map[string]string{}, wrong: map[string]bool{}}
	if src.File != "" {
		if err := readFile(src.File, l.give); err != nil {
			l.errs = append(l.errs, err)
		}
	}
	readEnviron(src.Environ, l.give)
	l.commandLine(src)
	l.check()
	if err := errors.Join(l.errs...); err != nil {
		return nil, nil, err
	}
	return l.c, l.warnings, nil
}

// loader gathers settings, and all that is wrong with them.
type loader struct {
	c        *Config
	where    map[string]string // which place has given a setting
	wrong    map[string]bool   // settings that were given without a valid value
	warnings []string
	errs     []error
}

func (l *loader) give(where, name, text string) {
	l.where[name] = where
	err := l.c.give(name, text, &l.warnings)
	if l.wrong[name] = err != nil; err != nil {
		l.errs = append(l.errs, fmt.Errorf("%s: %w", where, err))
	}
}

func (l *loader) commandLine(src Source) {
	flags := map[string]string{}
	for _, f := range src.Flags {
		flags[f.Setting] = f.Flag
		l.give(f.Flag, f.Setting, f.Value)
	}
	for _, pair := range src.Set {
		name, text, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		switch flag := flags[name]; {
		case !ok:
			l.errs = append(l.errs, fmt.Errorf("--set %s: must be of the form KEY=VALUE", pair))
		case flag != "":
			l.errs = append(l.errs, fmt.Errorf("%s and --set %s are the same setting: give one of them", flag, name))
		default:
			l.give("--set", name, text)
		}
	}
}

// check adds what is wrong with valid values together.
func (l *loader) check() {
	for _, p := range l.c.problems() {
		if slices.ContainsFunc(p.settings, func(name string) bool { return l.wrong[name] }) {
			continue // what holds instead of the given value is no news
		}
		var places []string
		for _, name := range p.settings {
			if w := l.where[name]; w != "" && !slices.Contains(places, w) {
				places = append(places, w)
			}
		}
		err := p.err
		if len(places) > 0 {
			err = fmt.Errorf("%s: %w", strings.Join(places, ", "), err)
		}
		l.errs = append(l.errs, err)
	}
}

// give sets one setting that someone wrote down.
func (c *Config) give(name, text string, warnings *[]string) error {
	k := Lookup(name)
	if k == nil {
		return unknown(name)
	}
	switch k.Effect {
	case Refused:
		return fmt.Errorf("%s: this setting of Apache Kafka does not work here: %s", name, k.Doc)
	case NoEffect, Planned:
		*warnings = append(*warnings, name+": "+k.Effect.note())
	}
	canonical, err := c.set(k, text)
	if err != nil {
		return err
	}
	c.given[name] = canonical
	return nil
}

func readFile(path string, give func(where, name, text string)) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read the config file: %w", err)
	}
	if info.Size() > maxFileBytes || !info.Mode().IsRegular() {
		return fmt.Errorf("config file %s: must be a regular file of at most %d bytes", path, maxFileBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the config file: %w", err)
	}
	return readYAML(path, data, give)
}

// byteOrderMark is what some editors begin a file of UTF-8 with. YAML allows it,
// and the parser takes it for a part of the first name.
var byteOrderMark = []byte("\ufeff")

// readYAML reads one mapping of full setting names to values.
func readYAML(path string, data []byte, give func(where, name, text string)) error {
	file, err := parser.ParseBytes(bytes.TrimPrefix(data, byteOrderMark), 0)
	if err != nil {
		return fmt.Errorf("config file %s is no valid YAML: %w", path, err)
	}
	var entries []*ast.MappingValueNode
	for _, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case *ast.MappingNode:
			entries = append(entries, body.Values...)
		case *ast.MappingValueNode:
			entries = append(entries, body)
		default:
			return fmt.Errorf("config file %s: must hold lines of the form KEY: VALUE", path)
		}
	}
	seen := map[string]int{}
	var errs []error
	for _, e := range entries {
		name, line := e.Key.GetToken().Value, e.Key.GetToken().Position.Line
		where := fmt.Sprintf("%s:%d", path, line)
		if first, twice := seen[name]; twice {
			errs = append(errs, fmt.Errorf("%s: %s stands in line %d already", where, name, first))
			continue
		}
		seen[name] = line
		text, set, err := yamlText(e.Value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", where, name, err))
		} else if set {
			give(where, name, text)
		}
	}
	return errors.Join(errs...)
}

// yamlText returns a YAML value as the text of a setting; set is false for null.
func yamlText(n ast.Node) (text string, set bool, err error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return "", false, nil
	case *ast.StringNode:
		return n.Value, true, nil
	case *ast.LiteralNode:
		return n.Value.Value, true, nil
	case *ast.IntegerNode:
		return fmt.Sprint(n.Value), true, nil
	case *ast.BoolNode, *ast.FloatNode:
		return n.GetToken().Value, true, nil
	case *ast.SequenceNode:
		parts := make([]string, 0, len(n.Values))
		for _, v := range n.Values {
			part, _, err := yamlText(v)
			if err != nil {
				return "", false, err
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ","), true, nil
	case *ast.MappingNode, *ast.MappingValueNode:
		return "", false, errors.New("is a mapping: write settings with their full names, like log.retention.ms: 1000")
	}
	return "", false, errors.New("must be a plain value or a list of them")
}

const envPrefix = "STREAMWEIR_"

// serviceLink matches the variables that Kubernetes gives to every container
// beside a service named streamweir; they are no settings.
var serviceLink = regexp.MustCompile(`^STREAMWEIR(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_[0-9]+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$`)

func readEnviron(environ []string, give func(where, name, text string)) {
	names := make(map[string]string, len(tables()))
	for i := range tables() {
		names[envName(tables()[i].Name)] = tables()[i].Name
	}
	for _, e := range environ {
		env, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(env, envPrefix) || serviceLink.MatchString(env) {
			continue
		}
		name, ok := names[env]
		if !ok { // give says that it is unknown, and what is near
			name = strings.ToLower(strings.ReplaceAll(env[len(envPrefix):], "_", "."))
		}
		give(env, name, text)
	}
}

// envName is the environment variable of a setting.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}
