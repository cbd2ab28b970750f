package kinesisapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// frame is a server of the frame alone: its handlers are the test's.
type frame struct {
	*Server
	t    testing.TB
	logs *observer.ObservedLogs
	cert *x509.CertPool
}

func serve(t testing.TB, handlers table, change func(*config.Config), tune ...func(*Server)) *frame {
	t.Helper()
	cfg := config.Default()
	cfg.AWSAddr = "127.0.0.1:0"
	f := &frame{t: t}
	cfg.AWSTLSCertificateFile, cfg.AWSTLSKeyFile, f.cert = certificate(t)
	if change != nil {
		change(cfg)
	}
	core, logs := observer.New(zap.InfoLevel)
	f.logs = logs
	s, err := newServer(cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	s.handlers = handlers
	for _, f := range tune {
		f(s)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.Serve()
	f.Server = s
	t.Cleanup(func() { f.stop(30 * time.Second) })
	return f
}

func (f *frame) stop(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	f.Shutdown(ctx)
	if used := f.bodies.Used(); used != 0 {
		f.t.Errorf("%d bytes of memory are still taken", used)
	}
}

// certificate makes a certificate for 127.0.0.1.
func certificate(t testing.TB) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

// client speaks one protocol: "h1" and "h2c" in cleartext, "h1s" and "h2" over TLS.
func (f *frame) client(protocol string) (*http.Client, string) {
	p := new(http.Protocols)
	url := "http://"
	switch protocol {
	case "h1":
		p.SetHTTP1(true)
	case "h2c":
		p.SetUnencryptedHTTP2(true)
	case "h1s":
		p.SetHTTP1(true)
		url = "https://"
	case "h2":
		p.SetHTTP2(true)
		url = "https://"
	}
	transport := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: f.cert}}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 5 * time.Minute}, url + f.Addr() + "/"
}

const testSignature = "AWS4-HMAC-SHA256 Credential=AK/20261125/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc"

// request makes a signed request; an empty header takes one away.
func request(t testing.TB, url, target string, body []byte, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", aws.ContentTypeJSON)
	r.Header.Set("X-Amz-Target", kinesis.Target+target)
	r.Header.Set("X-Amz-Date", "20261125T210000Z")
	r.Header.Set("Authorization", testSignature)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return r
}

// do sends a request and returns the status and body of its response.
func do(t testing.TB, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// echo answers with what it was sent.
func echo(_ *Server, _ context.Context, call *Call, in *kinesis.PutRecordInput) (*kinesis.PutRecordOutput, error) {
	id := string(in.Data) + "|" + aws.Text(in.PartitionKey)
	return &kinesis.PutRecordOutput{ShardId: &id, SequenceNumber: &call.Caller.AccessKey}, nil
}

func testHandlers() table {
	return table{
		"PutRecord":    answers(echo),
		"DeleteStream": acknowledges(func(*Server, context.Context, *Call, *kinesis.DeleteStreamInput) error { return nil }),
	}
}
