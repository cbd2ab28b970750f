package aws

import (
	"net/url"
	"reflect"
	"testing"
	"time"
)

func TestParseSignature(t *testing.T) {
	const params = "Credential=AK/20261125/eu-west-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc"
	at := time.Date(2026, 11, 25, 21, 0, 0, 0, time.UTC)
	whole := &Signature{
		Algorithm: "AWS4-HMAC-SHA256", AccessKey: "AK", Date: "20261125", Region: "eu-west-1", Service: "kinesis",
		SignedHeaders: []string{"host", "x-amz-date"}, Signature: "abc", Time: at,
	}
	presigned := *whole
	presigned.Presigned = true
	query := "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20261125%2Feu-west-1%2Fkinesis%2Faws4_request&X-Amz-Date=20261125T210000Z&X-Amz-SignedHeaders=host%3Bx-amz-date&X-Amz-Signature=abc"
	fourA := *whole
	fourA.Algorithm, fourA.Region = "AWS4-ECDSA-P256-SHA256", ""
	slashes := *whole
	slashes.AccessKey = "a/b"
	for _, c := range []struct {
		name, header, amzDate, date, query string
		want                               *Signature
		err                                Error
	}{
		{name: "a header", header: "AWS4-HMAC-SHA256 " + params, amzDate: "20261125T210000Z", want: whole},
		{name: "no spaces", header: "AWS4-HMAC-SHA256 Credential=AK/20261125/eu-west-1/kinesis/aws4_request,SignedHeaders=host;x-amz-date,Signature=abc", amzDate: "20261125T210000Z", want: whole},
		{name: "a Date header", header: "AWS4-HMAC-SHA256 " + params, date: "Wed, 25 Nov 2026 21:00:00 GMT", want: whole},
		{name: "a query", query: query, want: &presigned},
		{name: "version 4A", header: "AWS4-ECDSA-P256-SHA256 Credential=AK/20261125/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc", amzDate: "20261125T210000Z", want: &fourA},
		{name: "a key with slashes", header: "AWS4-HMAC-SHA256 Credential=a/b/20261125/eu-west-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc", amzDate: "20261125T210000Z", want: &slashes},
		{name: "nothing", err: Error{MissingAuthenticationToken, "Missing Authentication Token"}},
		{name: "both", header: "AWS4-HMAC-SHA256 " + params, query: query, err: Error{InvalidSignature, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}},
		{name: "another scheme", header: "Basic YTpi", amzDate: "x", err: Error{IncompleteSignature,
			"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=Basic YTpi"}},
		{name: "no date", header: "AWS4-HMAC-SHA256 " + params, err: Error{IncompleteSignature,
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 " + params}},
		{name: "no signature", header: "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=", amzDate: "x", err: Error{IncompleteSignature,
			"Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature="}},
		{name: "an unknown algorithm", header: "AWS5 " + params, amzDate: "20261125T210000Z", err: Error{IncompleteSignature, "Unsupported AWS 'algorithm': 'AWS5'."}},
		{name: "a short credential", header: "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=b, Signature=c", amzDate: "20261125T210000Z", err: Error{IncompleteSignature,
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c'"}},
		{name: "another terminator", header: "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=b, Signature=c", amzDate: "20261125T210000Z", err: Error{InvalidSignature,
			"Credential should be scoped with a valid terminator: 'aws4_request', not 'e'."}},
		{name: "a bad date", header: "AWS4-HMAC-SHA256 " + params, amzDate: "today", err: Error{IncompleteSignature,
			"Date must be in ISO-8601 'basic format'. Got 'today'. See http://en.wikipedia.org/wiki/ISO_8601"}},
		{name: "half a query", query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261125T210000Z", err: Error{IncompleteSignature,
			"AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			got, bad := ParseSignature(c.header, c.amzDate, c.date, q)
			if bad != nil {
				if *bad != c.err {
					t.Errorf("got  %v\nwant %v", *bad, c.err)
				}
				return
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	for typ, want := range map[string]int{
		"InternalFailureException": 500, "ServiceUnavailable": 503, "ResourceNotFoundException": 400,
		"AccessDeniedException": 400, "ProvisionedThroughputExceededException": 400,
	} {
		if got := (&Error{Type: typ}).Status(); got != want {
			t.Errorf("%s: %d", typ, got)
		}
	}
}
