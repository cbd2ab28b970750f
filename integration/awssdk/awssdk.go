// Package awssdk makes clients of aws-sdk-go-v2 as the tests, the comparison and
// the history checker need them.
package awssdk

import (
	"context"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// The credentials and the region of tests: requests need them in form.
const (
	Region = "us-east-1"
	Key    = "AKIATEST"
	Secret = "secret"
)

// Kinesis is a client of the API at a URL. Options come last.
func Kinesis(url string, opts ...func(*kinesis.Options)) *kinesis.Client {
	opts = append(opts, func(o *kinesis.Options) { o.HTTPClient = plainBodies{o.HTTPClient} })
	return kinesis.New(kinesis.Options{
		Region: Region, BaseEndpoint: &url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: Key, SecretAccessKey: Secret}, nil
		}),
	}, opts...)
}

// Subscribe subscribes with a client of its own: in this version of the SDK, the
// subscriptions of a client decode their events into one buffer.
func Subscribe(ctx context.Context, like *kinesis.Client, in *kinesis.SubscribeToShardInput) (*kinesis.SubscribeToShardEventStream, error) {
	out, err := kinesis.New(like.Options()).SubscribeToShard(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.GetStream(), nil
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
