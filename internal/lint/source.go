package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// module is the import path of this repository's module.
const module = "github.com/streamweir/streamweir"

// sourceFile is one parsed Go file of the module. Files are parsed whatever
// their build tags say, so a rule holds on every platform.
type sourceFile struct {
	path      string // slash-separated, from the module's root
	dir       string // path's directory; "" for the root
	lines     int
	test      bool // a _test.go file
	generated bool
	set       *token.FileSet
	tree      *ast.File
}

// finding is one place where a rule is broken.
type finding struct {
	path string
	line int
	text string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text) }

// loadModule parses every Go file below root. It reads the files itself instead
// of asking the go command, so that go test notices when a cached result is stale.
func loadModule(root string) ([]*sourceFile, error) {
	var files []*sourceFile
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != root && skippedDir(base) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(base) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parseSource(filepath.ToSlash(rel), content)
		if err != nil {
			return err
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the module at %s: %w", root, err)
	}
	return files, nil
}

// skippedDir says which directories the go command does not look into either,
// and those that hold no source of ours.
func skippedDir(base string) bool {
	return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
		base == "testdata" || base == "vendor" || base == "bin" || base == "dist"
}

// parseSource parses one file; name is its slash-separated path in the module.
func parseSource(name string, content []byte) (*sourceFile, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", name, err)
	}
	dir := path.Dir(name)
	if dir == "." {
		dir = ""
	}
	return &sourceFile{
		path:      name,
		dir:       dir,
		lines:     bytes.Count(content, []byte("\n")),
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(tree),
		set:       set,
		tree:      tree,
	}, nil
}

// at makes a finding at a position of the file.
func (f *sourceFile) at(pos token.Pos, format string, args ...any) finding {
	return finding{path: f.path, line: f.set.Position(pos).Line, text: fmt.Sprintf(format, args...)}
}

// imported is one import declaration with its path unquoted.
type imported struct {
	path string
	pos  token.Pos
}

func (f *sourceFile) imports() []imported {
	var all []imported
	for _, spec := range f.tree.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so this cannot be
		}
		all = append(all, imported{path: name, pos: spec.Pos()})
	}
	return all
}

// localName is the name by which the file refers to an imported package, or ""
// if it does not import it. The package's own name must be its path's last element.
func (f *sourceFile) localName(pkg string) string {
	for _, spec := range f.tree.Imports {
		if spec.Path.Value != strconv.Quote(pkg) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}

// below says whether an import path or directory is root or inside it.
func below(name, root string) bool {
	return name == root || strings.HasPrefix(name, root+"/")
}
