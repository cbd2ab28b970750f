package kinesisapi

import (
	"context"
	"net/http"

	"github.com/streamweir/streamweir/protocol/aws"
)

// Identity is who sent a request.
type Identity struct {
	Account   string
	AccessKey string
	ARN       string
	UserID    string
}

// SignedRequest is a request with a signature of the right form.
type SignedRequest struct {
	*aws.Signature
	Request *http.Request // its body is read already
	Body    []byte
}

// Authenticator says who sent a request, or an *aws.Error for a request that it
// does not believe.
type Authenticator interface {
	Authenticate(context.Context, *SignedRequest) (Identity, error)
}

// anyone takes every well-formed signature for that of the account's root user:
// there is no access control yet.
type anyone struct{ account string }

func (a anyone) Authenticate(_ context.Context, r *SignedRequest) (Identity, error) {
	return Identity{
		Account: a.account, AccessKey: r.AccessKey,
		ARN: "arn:aws:iam::" + a.account + ":root", UserID: a.account,
	}, nil
}

// signature reads a request's signature.
func signature(r *http.Request) (*aws.Signature, *aws.Error) {
	return aws.ParseSignature(r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"), r.Header.Get("Date"), r.URL.Query())
}
