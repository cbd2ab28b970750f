package harness

import (
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// CacheDir is where what tests install is kept between runs: packages of other
// languages.
func CacheDir(t testing.TB, name string) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "streamweir", "clients", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Installed runs an installation into a directory once; where it fails, the
// test is skipped, since what is missing is the package and not the broker.
func Installed(t testing.TB, dir string, commands ...*exec.Cmd) {
	t.Helper()
	done := filepath.Join(dir, ".installed")
	if _, err := os.Stat(done); err == nil {
		return
	}
	for _, cmd := range commands {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Project is a directory in the cache with the files of a directory of testdata.
// There is another one for each state of the manifests, those of the files that
// say what is to be installed in it.
func Project(t testing.TB, source string, manifests ...string) string {
	t.Helper()
	sum := crc32.NewIEEE()
	for _, name := range manifests {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(b)
	}
	dir := CacheDir(t, fmt.Sprintf("%s-%08x", filepath.Base(source), sum.Sum32()))
	err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Python makes a virtual environment with what requirements.txt in source pins. It
// returns the directory of its programs, and that of the files of source.
func Python(t testing.TB, source string) (bin, dir string) {
	t.Helper()
	python3 := NeedTool(t, "python3")
	const manifest = "requirements.txt"
	dir = Project(t, source, manifest)
	bin = filepath.Join(dir, "venv", "bin")
	Installed(t, dir,
		exec.Command(python3, "-m", "venv", filepath.Join(dir, "venv")),
		exec.Command(filepath.Join(bin, "python3"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r", filepath.Join(dir, manifest)))
	return bin, dir
}

// Node installs what package-lock.json in source pins. It returns node, and the
// directory of the files of source.
func Node(t testing.TB, source string) (node, dir string) {
	t.Helper()
	node, npm := NeedTool(t, "node"), NeedTool(t, "npm")
	dir = Project(t, source, "package.json", "package-lock.json")
	Installed(t, dir, exec.Command(npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir))
	return node, dir
}
