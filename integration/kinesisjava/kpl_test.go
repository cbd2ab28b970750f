package kinesisjava

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

// certificate makes a certificate for this machine, and returns its files.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// The Kinesis Producer Library, over TLS, aggregates records; a worker of the
// client library gets them one by one.
func TestKPLToKCL(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the producer brings a native program for Linux that is known to run")
	}
	records := min(kclRecords(t), 5000)
	cert, key := certificate(t)
	s := harness.Start(t, harness.Config("aws.tls.certificate.file", cert), harness.Config("aws.tls.key.file", key))
	a := harness.AWS{URL: s.AWSURL(), Server: s}
	app := &app{T: t, aws: a, cl: a.Kinesis(), stream: a.Stream(t, 2), name: harness.Name(t, "app"), dynamo: dynamo(t),
		how: "polling", dir: t.TempDir(), within: takes}
	u, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	out := harness.MustRun(t, takes, java(t, "Producer", u.Port(), app.stream, "0", strconv.Itoa(records), t.TempDir()))
	if !strings.Contains(out, "ok\n") {
		t.Errorf("no \"ok\" in\n%s", out)
	}
	stored := 0
	for _, list := range harness.ReadStream(t, app.cl, app.stream) {
		stored += len(list)
	}
	if stored == 0 || stored > records/2 {
		t.Errorf("%d records are stored for %d of the user's: they were not aggregated", stored, records)
	}
	app.sent = records
	worker := app.start("one")
	seen := app.until("every record is processed", func(seen *processed) bool { return len(seen.records) >= records })
	app.check(seen, records)
	worker.Signal(t, syscall.SIGTERM)
	worker.Wait(t, takes)
}
