package lint

import (
	"path/filepath"
	"testing"
)

// repository parses this module once for one test.
func repository(t *testing.T) []*sourceFile {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files, err := loadModule(root)
	if err != nil {
		t.Fatal(err)
	}
	// A wrong root would find nothing and so nothing wrong.
	for _, file := range files {
		if file.path == "internal/lint/lint_test.go" {
			return files
		}
	}
	t.Fatalf("%s does not look like this repository: %d Go files, this one not among them", root, len(files))
	return nil
}

func report(t *testing.T, found []finding) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func TestWhoMayImportWhom(t *testing.T) {
	report(t, checkImports(repository(t), importRules, module))
}

func TestGoFilesStandInKnownRooms(t *testing.T) {
	report(t, checkRooms(repository(t), rooms))
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	found := checkSizes(repository(t), longFiles, longFunctions)
	report(t, found.over)
	for name := range found.unused {
		t.Errorf("%s is excepted in internal/lint/size.go but is not too long (any more), or has another name: remove the exception", name)
	}
	for _, f := range found.long {
		t.Log(f)
	}
}

func TestForbiddenCalls(t *testing.T) {
	report(t, checkCalls(repository(t), callRules))
}

func TestOnlyMainEndsTheProcess(t *testing.T) {
	report(t, checkFatal(repository(t)))
}

func TestNoInitFunctions(t *testing.T) {
	report(t, checkInit(repository(t)))
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	report(t, checkPackageDocs(repository(t)))
}
