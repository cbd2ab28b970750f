package clients

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// kafkajs, pinned.
const kafkaJSVersion = "2.2.4"

func TestKafkaJS(t *testing.T) {
	node, npm := harness.NeedTool(t, "node"), harness.NeedTool(t, "npm")
	dir := harness.CacheDir(t, "kafkajs-"+kafkaJSVersion)
	harness.Installed(t, dir, exec.Command(npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir, "kafkajs@"+kafkaJSVersion))
	script(t, node, "testdata/kafkajs_roundtrip.js", "NODE_PATH="+filepath.Join(dir, "node_modules"), "KAFKAJS_NO_PARTITIONER_WARNING=1")
}
