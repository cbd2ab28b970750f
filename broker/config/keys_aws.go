package config

import (
	"errors"
	"fmt"
	"regexp"
)

// awsKeys are the settings of the AWS APIs.
func awsKeys() []Key {
	return []Key{
		{Name: "aws.addr", Type: String, Default: "127.0.0.1:4566", Ours: true,
			Doc: "Where the AWS APIs (Kinesis Data Streams, and STS GetCallerIdentity) are served, as HOST:PORT: HTTP/1.1 and HTTP/2, in cleartext and, with a certificate, over TLS on the same port. Port 0 means any free port; empty means that they are not served."},
		{Name: "aws.region", Type: String, Default: "us-east-1", Check: matching(`^[a-z0-9-]{1,64}$`, "a region such as us-east-1"), Ours: true,
			Doc: "The region in the ARNs of streams and consumers. Requests may be signed for any region."},
		{Name: "aws.account.id", Type: String, Default: "000000000000", Check: matching(`^[0-9]{12}$`, "12 digits"), Ours: true,
			Doc: "The account that streams belong to, as it stands in their ARNs."},
		{Name: "aws.tls.certificate.file", Type: String, Default: "", Ours: true,
			Doc: "The server's certificate for TLS on aws.addr, with its chain, as a PEM file. It is read at the start. Empty: no TLS."},
		{Name: "aws.tls.key.file", Type: String, Default: "", Ours: true,
			Doc: "The private key of aws.tls.certificate.file, as a PEM file."},
		{Name: "aws.request.max.bytes", Type: Int, Default: "16777216", Unit: "bytes", Check: Between(1024, 1<<30), Ours: true,
			Doc: "The largest body of a request to the AWS APIs; a larger one is answered with status 413. The default holds the largest PutRecords: 10 MiB in base64 and 500 keys."},
		{Name: "aws.queued.max.bytes", Type: Long, Default: "268435456", Unit: "bytes", Check: AtLeast(mib), Ours: true,
			Doc: "Memory for the bodies of all requests of the AWS APIs and for all answers and events with records, half for each. When it is used up, requests and events wait, and GetRecords is throttled after 10 seconds; above half of their half, answers and events have one record each."},
		{Name: "aws.max.connections", Type: Int, Default: "10000", Check: Between(1, maxInt), Ours: true,
			Doc: "The most connections to aws.addr at a time. Further ones are closed at once."},
		{Name: "aws.max.requests", Type: Int, Default: "10000", Check: Between(1, maxInt), Ours: true,
			Doc: "The most requests to the AWS APIs that are worked on at a time, subscriptions included. Further ones wait for up to 3 seconds, a tenth as many of them at a time, while requests whose bodies arrive slowly are closed; then they are answered with status 503, after which clients try again."},
		{Name: "aws.access.control.allow.origin", Type: String, Default: "", Ours: true,
			Doc: "The origin of the web pages whose scripts may use the AWS APIs, such as https://console.example; * for those of every page. Empty: of none. AWS itself allows every page, but there a request needs a secret: here, any page that somebody opens on this machine could read and write streams."},
	}
}

// matching accepts texts that match a regular expression.
func matching(pattern, what string) Check {
	re := regexp.MustCompile(pattern)
	return CheckFunc(what, func(v any) error {
		if !re.MatchString(v.(string)) {
			return fmt.Errorf("must be %s", what)
		}
		return nil
	})
}

// awsProblems looks for what is wrong between the settings of the AWS APIs.
func (c *Config) awsProblems(add func(err error, settings ...string)) {
	if c.AWSAddr != "" {
		c.addressProblems("aws.addr", c.AWSAddr, add)
	}
	if (c.AWSTLSCertificateFile == "") != (c.AWSTLSKeyFile == "") {
		add(errors.New("aws.tls.certificate.file and aws.tls.key.file must be given together"), "aws.tls.certificate.file", "aws.tls.key.file")
	}
	if c.AWSQueuedMaxBytes < 4*int64(c.AWSRequestMaxBytes) {
		add(fmt.Errorf("aws.queued.max.bytes (%d) is below four times aws.request.max.bytes (%d): a few large requests would hold up all others; raise the one or lower the other",
			c.AWSQueuedMaxBytes, c.AWSRequestMaxBytes), "aws.queued.max.bytes", "aws.request.max.bytes")
	}
}
