// Package streams does the work of the `stream` commands through the Kinesis
// API, at our server or at any other that speaks it.
package streams

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// DefaultEndpoint is where `streamweir serve` listens by default.
const DefaultEndpoint = "http://127.0.0.1:4566"

const (
	// defaultRegion is where neither the environment nor a profile names one.
	defaultRegion = "us-east-1"
	// localKey stands for credentials at an endpoint on this machine, where
	// nobody has set any up.
	localKey = "local"
)

// Config says where the API is and how patient to be.
type Config struct {
	Endpoint string // a URL
	Timeout  time.Duration
	Version  string // our own, told to the server
}

// Client is ready to call the API.
type Client struct {
	*kinesis.Client
	cfg Config
}

// Open reads credentials and region as every AWS tool does: environment,
// profile, container or instance. It does not connect yet.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, output.Usage("endpoint %q is not of the form http://HOST:PORT", cfg.Endpoint)
	}
	if cfg.Timeout <= 0 {
		return nil, output.Usage("--timeout must be above zero, not %s", cfg.Timeout)
	}
	local := isLoopback(u.Hostname())
	opts := []func(*config.LoadOptions) error{config.WithDefaultRegion(defaultRegion), config.WithAppID("streamweir-" + cfg.Version)}
	if local {
		// Nothing on this machine needs an instance's credentials, and
		// asking for them takes seconds where there are none.
		opts = append(opts, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	loaded, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if _, err := loaded.Credentials.Retrieve(ctx); err != nil {
		if !local {
			return nil, fmt.Errorf("no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE: %w", err)
		}
		loaded.Credentials = credentials.NewStaticCredentialsProvider(localKey, localKey, "")
	}
	return &Client{cfg: cfg, Client: kinesis.NewFromConfig(loaded, func(o *kinesis.Options) {
		o.BaseEndpoint = &cfg.Endpoint
		o.HTTPClient = plainBodies{o.HTTPClient}
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(neverThere)}, r.Retryables...)
		})
	})}, nil
}

// plainBodies keeps subscriptions over HTTP/1.1 from ending by chance. The SDK
// closes a request's body as soon as the response begins; net/http may then still
// look whether the body has more than its length, and where the body is an
// io.WriterTo, smithy-go tells it EOF as an error, so that it closes the connection.
type plainBodies struct{ kinesis.HTTPClient }

func (c plainBodies) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = struct{ io.ReadCloser }{req.Body}
	}
	return c.HTTPClient.Do(req)
}

// neverThere keeps the SDK from trying again where nobody listens, or nobody who
// speaks TLS: who waits for a server does so with the exit status.
func neverThere(err error) aws.Ternary {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, http.ErrSchemeMismatch) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Limit returns a context for one exchange.
func (c *Client) Limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.Timeout)
}

// call makes one exchange and words its failure.
func call[In, Out any](ctx context.Context, c *Client, do func(context.Context, *In, ...func(*kinesis.Options)) (*Out, error), in *In) (*Out, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	out, err := do(ctx, in)
	if err != nil {
		return nil, c.Explain(err)
	}
	return out, nil
}

// Explain turns an error of the connection or of the API into a sentence for
// the user. Errors that are neither pass through.
func (c *Client) Explain(err error) error {
	var done *client.UnreachableError
	if err == nil || errors.As(err, &done) || errors.Is(err, context.Canceled) {
		return err
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != noCode {
		return &apiError{code: api.ErrorCode(), text: api.ErrorMessage(), err: err}
	}
	if text := c.unreachable(err); text != "" {
		return client.NewUnreachable(text, err)
	}
	return err
}

func (c *Client) unreachable(err error) string {
	at := "cannot reach a server at " + c.cfg.Endpoint
	var op *net.OpError
	var dns *net.DNSError
	var noTLS tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var answer *smithyhttp.ResponseError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("%s: the host name %q does not resolve (%s)", at, dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return at + ": connection refused; is `streamweir serve` running?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return at + ": no route to it"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &op) && op.Timeout():
		return fmt.Sprintf("the server at %s did not answer within %s (--timeout)", c.cfg.Endpoint, c.cfg.Timeout)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &noTLS):
		return fmt.Sprintf("the server at %s speaks no TLS there: write http:// rather than https://", c.cfg.Endpoint)
	case errors.As(err, &certificate):
		return fmt.Sprintf("the server at %s shows a certificate that is not accepted: %v", c.cfg.Endpoint, certificate.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return fmt.Sprintf("the server at %s closed the connection: does it speak the Kinesis API, and with or without TLS as the URL says?", c.cfg.Endpoint)
	case op != nil:
		return at + ": " + op.Err.Error()
	case errors.As(err, &answer):
		// Every error of the API has a code, and every other answer is of its form.
		return fmt.Sprintf("what answers at %s is not the Kinesis API (HTTP status %d): is the port right, and http or https?", c.cfg.Endpoint, answer.HTTPStatusCode())
	}
	return ""
}

// apiError is what the API refused, in its own words and with the type that
// documentation and other tools use.
type apiError struct {
	code, text string
	err        error
}

func (e *apiError) Error() string {
	if e.text == "" {
		return e.code
	}
	return fmt.Sprintf("%s (%s)", trimStop(e.text), e.code)
}

func (e *apiError) Unwrap() error { return e.err }

func trimStop(s string) string {
	if n := len(s); n > 0 && s[n-1] == '.' {
		return s[:n-1]
	}
	return s
}

// isCode says whether err is an error of the API of one of these types.
func isCode(err error, codes ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode() == code {
			return true
		}
	}
	return false
}

// The types of the API's errors that we act on.
const (
	notFound        = "ResourceNotFoundException"
	inUse           = "ResourceInUseException"
	overThroughput  = "ProvisionedThroughputExceededException"
	overLimit       = "LimitExceededException"
	iteratorExpired = "ExpiredIteratorException"
	internalFailure = "InternalFailure"
	noCode          = "UnknownError" // the SDK's, for an answer that has none
)

// pause waits, or returns the error of a context that ends meanwhile.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
