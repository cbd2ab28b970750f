// Package client connects the client commands to a cluster: where it is, how
// long to wait for it, and how a failure is put into words that say what to do.
package client

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// DefaultBootstrapServer is where `streamweir serve` listens by default.
const DefaultBootstrapServer = "127.0.0.1:9092"

// DefaultTimeout is how long a command waits for an answer of a broker.
const DefaultTimeout = 10 * time.Second

// defaultPort is added to a server that is written without one.
const defaultPort = "9092"

// Config says where the cluster is and how patient to be.
type Config struct {
	BootstrapServer string        // HOST[:PORT], several separated by commas
	Timeout         time.Duration // for reaching a broker, and for each answer
	ClientID        string
	Version         string // our own version, told to the broker
}

// Servers splits BootstrapServer and checks its parts.
func (c Config) Servers() ([]string, error) {
	var servers []string
	for server := range strings.SplitSeq(c.BootstrapServer, ",") {
		server = strings.TrimSpace(server)
		if server == "" {
			continue
		}
		host, port, err := net.SplitHostPort(server)
		if err != nil {
			host, port = strings.Trim(server, "[]"), defaultPort
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if host == "" || err != nil || n == 0 || strings.ContainsAny(host, "/ ") {
			return nil, output.Usage("bootstrap server %q is not of the form HOST:PORT", server)
		}
		servers = append(servers, net.JoinHostPort(host, port))
	}
	if len(servers) == 0 {
		return nil, output.Usage("no bootstrap server is given: write --bootstrap-server HOST:PORT")
	}
	return servers, nil
}

// Cluster is an open connection to a cluster.
type Cluster struct {
	*kgo.Client
	Admin *kadm.Client
	cfg   Config
}

// Open connects and waits until a broker has answered, so that a command that
// cannot work ends with one clear sentence before it does anything.
func Open(ctx context.Context, cfg Config, opts ...kgo.Opt) (*Cluster, error) {
	servers, err := cfg.Servers()
	if err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 {
		return nil, output.Usage("--timeout must be above zero, not %s", cfg.Timeout)
	}
	base := []kgo.Opt{
		kgo.SeedBrokers(servers...),
		kgo.ClientID(cfg.ClientID),
		kgo.SoftwareNameAndVersion("streamweir", softwareVersion(cfg.Version)),
		kgo.DialTimeout(cfg.Timeout),
		// How soon a lost broker is looked for again; the client's default
		// of seconds is for services, not for somebody who waits.
		kgo.MetadataMinAge(metadataMinAge),
		// Group requests keep their own, longer limits: a join waits for others.
		kgo.RetryTimeoutFn(func(key int16) time.Duration {
			if isGroupSession(key) {
				return groupRetryTimeout
			}
			return cfg.Timeout
		}),
		kgo.RequestTimeoutOverhead(cfg.Timeout),
	}
	cl, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Client: cl, Admin: kadm.NewClient(cl), cfg: cfg}
	c.Admin.SetTimeoutMillis(c.TimeoutMillis())
	pingCtx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	if err := cl.Ping(pingCtx); err != nil {
		cl.Close()
		return nil, c.noBroker(err)
	}
	return c, nil
}

// TimeoutMillis is how long a broker may take over an administrative request.
func (c *Cluster) TimeoutMillis() int32 {
	return int32(min(c.cfg.Timeout.Milliseconds(), maxTimeoutMillis))
}

// Limit returns a context for one administrative exchange.
func (c *Cluster) Limit(ctx context.Context) (context.Context, context.CancelFunc) {
	// A little more than the retry time-out, so that the true cause comes
	// back rather than "deadline exceeded".
	return context.WithTimeout(ctx, c.cfg.Timeout+c.cfg.Timeout/4+time.Second)
}

const (
	metadataMinAge    = 250 * time.Millisecond
	maxTimeoutMillis  = 1<<31 - 1
	groupRetryTimeout = 45 * time.Second
)

// isGroupSession says whether a request key belongs to the life of a group
// member: JoinGroup, Heartbeat, SyncGroup.
func isGroupSession(key int16) bool { return key == 11 || key == 12 || key == 14 }

// softwareVersion keeps to the characters that ApiVersions allows.
func softwareVersion(v string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, v)
	clean = strings.Trim(clean, ".-")
	if clean == "" {
		return "devel"
	}
	return clean
}
