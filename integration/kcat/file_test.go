package kcat

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

// realFile is a file of some thousand real lines: source code of this project.
// kcat sends no message for an empty line, so they are left out.
func realFile(t testing.TB) (path string, lines []string) {
	t.Helper()
	sources, err := filepath.Glob("../harness/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no source code to send: %v", err)
	}
	var b []byte
	for _, src := range sources {
		part, err := os.ReadFile(src)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	for _, l := range strings.Split(string(b), "\n") {
		if l != "" {
			lines = append(lines, l)
		}
	}
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, lines
}

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

var codecNumber = map[string]int{
	"none": harness.CodecNone, "gzip": harness.CodecGzip, "snappy": harness.CodecSnappy,
	"lz4": harness.CodecLZ4, "zstd": harness.CodecZstd,
}

var goCodec = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// A real file goes in with kcat in every codec, is stored in that codec, and
// comes out of kcat and franz-go byte for byte.
func TestFileFromKcatWithEveryCodec(t *testing.T) {
	s := harness.Shared(t)
	path, lines := realFile(t)
	for _, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			topic := harness.Topic(t, s, 1)
			harness.MustRun(t, harness.Long, kcat(t, s, "-P", "-t", topic, "-p", "0", "-z", codec, "-l", path))
			out := harness.MustRun(t, harness.Long, kcat(t, s, "-C", "-t", topic, "-o", "beginning", "-e"))
			want, _ := os.ReadFile(path)
			if out != string(want) {
				t.Fatalf("kcat read %d bytes that differ from the file's %d", len(out), len(want))
			}
			rs, attrs := readAll(t, s, topic, len(lines))
			for i, r := range rs {
				if string(r.Value) != lines[i] || r.Offset != int64(i) {
					t.Fatalf("franz-go read %q at %d, want %q at %d", r.Value, r.Offset, lines[i], i)
				}
			}
			if want := codecNumber[codec]; !slices.Contains(attrs, want) {
				t.Errorf("batches stored with codecs %v, kcat sent %d", attrs, want)
			}
		})
	}
}

// The same file comes from franz-go in every codec and is read by kcat.
func TestFileToKcatWithEveryCodec(t *testing.T) {
	s := harness.Shared(t)
	path, lines := realFile(t)
	want, _ := os.ReadFile(path)
	for _, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			topic := harness.Topic(t, s, 1)
			cl := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(goCodec[codec]))
			rs := make([]*kgo.Record, len(lines))
			for i, l := range lines {
				rs[i] = kgo.StringRecord(l)
			}
			if err := cl.ProduceSync(harness.Context(t, harness.Long), rs...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			// CRCs are checked, which librdkafka leaves out unless told to.
			out := harness.MustRun(t, harness.Long, kcat(t, s, "-C", "-t", topic, "-o", "beginning", "-e", "-X", "check.crcs=true"))
			if out != string(want) {
				t.Fatalf("kcat read %d bytes that differ from the file's %d", len(out), len(want))
			}
		})
	}
}

// Keys, headers, null values, timestamps and partitions arrive as they were
// sent, and the offset query finds them by time.
func TestKeysHeadersAndQuery(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 3)
	cmd := kcat(t, s, "-P", "-t", topic, "-p", "2", "-K", "|", "-Z", "-H", "h1=v1", "-H", "h2=v2")
	c := harness.Background(t, cmd, strings.NewReader("k1|one\nk2|\nk3|three\n"))
	if code := c.Wait(t, harness.Long); code != 0 {
		t.Fatalf("kcat -P: exit code %d", code)
	}
	got := harness.MustRun(t, harness.Long, kcat(t, s, "-C", "-t", topic, "-p", "2", "-o", "beginning", "-e",
		"-f", "%p %o %k %K %s %S %h\n"))
	want := "2 0 k1 2 one 3 h1=v1,h2=v2\n2 1 k2 2  -1 h1=v1,h2=v2\n2 2 k3 2 three 5 h1=v1,h2=v2\n"
	if got != want {
		t.Errorf("kcat read\n%swant\n%s", got, want)
	}
	for spec, offset := range map[string]int{":2:-2": 0, ":2:-1": 3, ":2:1000": 0} {
		query := harness.MustRun(t, harness.Long, kcat(t, s, "-Q", "-t", topic+spec))
		if want := fmt.Sprintf("[2] offset %d\n", offset); !contains(query, want) {
			t.Errorf("kcat -Q %s: no %q in\n%s", spec, want, query)
		}
	}
	harness.Eventually(t, harness.Long, "metadata", func() error {
		return metadataHas(harness.MustRun(t, harness.Long, kcat(t, s, "-L", "-t", topic)), topic, 3)
	})
}

// A topic that does not exist is created by the first message sent to it.
func TestAutoCreatedTopic(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Name(t, "new")
	c := harness.Background(t, kcat(t, s, "-P", "-t", topic), strings.NewReader("first\n"))
	if code := c.Wait(t, harness.Long); code != 0 {
		t.Fatalf("kcat -P: exit code %d", code)
	}
	if got := harness.MustRun(t, harness.Long, kcat(t, s, "-C", "-t", topic, "-o", "beginning", "-e")); got != "first\n" {
		t.Errorf("read %q", got)
	}
	if _, err := harness.Admin(t, s).DeleteTopics(harness.Context(t, harness.Long), topic); err != nil {
		t.Error(err)
	}
}

// The idempotent producer of librdkafka sends a file without loss.
func TestIdempotentFile(t *testing.T) {
	s := harness.Shared(t)
	path, _ := realFile(t)
	topic := harness.Topic(t, s, 1)
	harness.MustRun(t, harness.Long, kcat(t, s, "-P", "-t", topic, "-l", "-X", "enable.idempotence=true", "-X", "batch.num.messages=100", path))
	out := harness.MustRun(t, harness.Long, kcat(t, s, "-C", "-t", topic, "-o", "beginning", "-e"))
	if want, _ := os.ReadFile(path); out != string(want) {
		t.Errorf("kcat read %d bytes that differ from the file's %d", len(out), len(want))
	}
}

// readAll reads a single-partition topic and the codecs of its batches.
func readAll(t testing.TB, s *harness.Server, topic string, n int) (rs []*kgo.Record, codecs []int) {
	t.Helper()
	cl := harness.Client(t, s, kgo.ConsumeTopics(topic))
	ctx := harness.Context(t, harness.Long)
	for len(rs) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(rs), n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			rs = append(rs, r)
			if c := int(r.Attrs.CompressionType()); !slices.Contains(codecs, c) {
				codecs = append(codecs, c)
			}
		})
	}
	return rs, codecs
}

const maxMessageBytes = 10485760 // the broker's default, and Amazon MSK's here

// A message just below the limit goes through kcat and franz-go both ways.
func TestTenMegabyteMessage(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 1)
	value := harness.Incompressible(1, maxMessageBytes-512)
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, value, 0o644); err != nil {
		t.Fatal(err)
	}
	harness.MustRun(t, harness.Long, kcat(t, s, "-P", "-t", topic, "-X", "message.max.bytes=20000000", path))

	cl := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchMaxBytes(20<<20),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err := cl.ProduceSync(harness.Context(t, harness.Long), kgo.SliceRecord(value)).FirstErr(); err != nil {
		t.Fatalf("franz-go: %v", err)
	}
	rs, _ := readAll(t, s, topic, 2)
	for i, r := range rs {
		if !bytes.Equal(r.Value, value) {
			t.Errorf("franz-go read a message %d of %d bytes that is not the one sent", i, len(r.Value))
		}
	}
	out := harness.MustRun(t, harness.Long, kcat(t, s, "-C", "-t", topic, "-o", "beginning", "-e", "-D", "",
		"-X", "receive.message.max.bytes=100000000"))
	if out != string(value)+string(value) {
		t.Errorf("kcat read %d bytes, want twice the %d sent", len(out), len(value))
	}
}

// A message above the limit is refused with MESSAGE_TOO_LARGE, and the next
// one goes through.
func TestMessageAboveTheLimit(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 1)
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, harness.Incompressible(1, maxMessageBytes+1), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out := harness.Run(t, harness.Long, loud(kcat(t, s, "-P", "-t", topic, "-X", "message.max.bytes=20000000", path)))
	if code == 0 || !contains(out, "Message size too large") {
		t.Errorf("kcat: exit code %d, output %q, want a refusal with \"Message size too large\"", code, out)
	}
	cl := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchMaxBytes(20<<20),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	ctx := harness.Context(t, harness.Long)
	err := cl.ProduceSync(ctx, kgo.SliceRecord(harness.Incompressible(1, maxMessageBytes+1))).FirstErr()
	if !contains(fmt.Sprint(err), "MESSAGE_TOO_LARGE") {
		t.Errorf("franz-go: %v, want MESSAGE_TOO_LARGE", err)
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord("small")).FirstErr(); err != nil {
		t.Errorf("the next message: %v", err)
	}
}
