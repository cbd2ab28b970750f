package aws

import (
	"net/url"
	"strings"
	"testing"
)

func FuzzParseSignature(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AK/20261125/eu-west-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc", "20261125T210000Z", "", "")
	f.Add("AWS4-ECDSA-P256-SHA256 Credential=AK/20261125/kinesis/aws4_request,SignedHeaders=host,Signature=abc", "", "Wed, 25 Nov 2026 21:00:00 GMT", "")
	f.Add("", "", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20261125%2Feu-west-1%2Fkinesis%2Faws4_request&X-Amz-Date=20261125T210000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=abc")
	f.Fuzz(func(t *testing.T, authorization, amzDate, date, query string) {
		q, _ := url.ParseQuery(query)
		s, err := ParseSignature(authorization, amzDate, date, q)
		switch {
		case err != nil:
			if s != nil || !strings.HasSuffix(err.Type, "Exception") || err.Message == "" {
				t.Fatalf("%v with %v", err, s)
			}
		case s.Signature == "" || len(s.SignedHeaders) == 0 || s.Time.IsZero() && amzDate == "":
			t.Fatalf("%+v is not whole", s)
		case s.Algorithm != sigV4 && s.Algorithm != sigV4A:
			t.Fatalf("%+v", s)
		}
	})
}
