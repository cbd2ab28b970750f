package aws

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Signature is what a request says of its signature (Signature Version 4), in the
// Authorization header or, presigned, in the query.
type Signature struct {
	Algorithm     string
	AccessKey     string
	Date          string // of the credential's scope: YYYYMMDD
	Region        string // empty for Signature Version 4A
	Service       string
	SignedHeaders []string
	Signature     string
	Time          time.Time
	Presigned     bool
}

// Algorithms of signatures.
const (
	sigV4  = "AWS4-HMAC-SHA256"
	sigV4A = "AWS4-ECDSA-P256-SHA256"
)

// ParseSignature reads a request's signature: authorization, amzDate and date are
// its headers Authorization, X-Amz-Date and Date, empty where absent. It checks the
// form only; the errors are those that AWS answers to a bad form.
func ParseSignature(authorization, amzDate, date string, query url.Values) (*Signature, *Error) {
	presigned := query.Has("X-Amz-Algorithm")
	switch {
	case authorization != "" && presigned:
		return nil, &Error{InvalidSignature, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}
	case authorization != "":
		return parseHeader(authorization, amzDate, date)
	case presigned:
		return parseQuery(query)
	}
	return nil, &Error{MissingAuthenticationToken, "Missing Authentication Token"}
}

func parseHeader(authorization, amzDate, date string) (*Signature, *Error) {
	algorithm, rest, _ := strings.Cut(authorization, " ")
	params := map[string]string{}
	for part := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, _ := strings.Cut(part, "=")
		params[name] = value
	}
	var missing strings.Builder
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if params[name] == "" {
			fmt.Fprintf(&missing, "Authorization header requires '%s' parameter. ", name)
		}
	}
	if amzDate == "" && date == "" {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() > 0 {
		return nil, &Error{IncompleteSignature, missing.String() + "Authorization=" + shorten(authorization)}
	}
	s := &Signature{Algorithm: algorithm, Signature: params["Signature"], SignedHeaders: strings.Split(params["SignedHeaders"], ";")}
	if amzDate == "" {
		amzDate = date
	}
	return s.complete(params["Credential"], amzDate)
}

func parseQuery(query url.Values) (*Signature, *Error) {
	var missing strings.Builder
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		if query.Get(name) == "" {
			fmt.Fprintf(&missing, "AWS query-string parameters must include '%s'. ", name)
		}
	}
	if missing.Len() > 0 {
		return nil, &Error{IncompleteSignature, missing.String() + "Re-examine the query-string parameters."}
	}
	s := &Signature{
		Algorithm: query.Get("X-Amz-Algorithm"), Signature: query.Get("X-Amz-Signature"),
		SignedHeaders: strings.Split(query.Get("X-Amz-SignedHeaders"), ";"), Presigned: true,
	}
	return s.complete(query.Get("X-Amz-Credential"), query.Get("X-Amz-Date"))
}

// complete takes the credential apart: KEY/DATE/REGION/SERVICE/aws4_request, without
// a region for 4A. A key may have slashes.
func (s *Signature) complete(credential, when string) (*Signature, *Error) {
	fields := 5
	switch s.Algorithm {
	case sigV4:
	case sigV4A:
		fields = 4
	default:
		return nil, &Error{IncompleteSignature, "Unsupported AWS 'algorithm': '" + shorten(s.Algorithm) + "'."}
	}
	parts := strings.Split(credential, "/")
	if len(parts) < fields {
		return nil, &Error{IncompleteSignature, fmt.Sprintf("Credential must have exactly %d slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", fields, shorten(credential))}
	}
	scope := parts[len(parts)-fields+1:]
	s.AccessKey = strings.Join(parts[:len(parts)-fields+1], "/")
	s.Date, s.Service = scope[0], scope[len(scope)-2]
	if fields == 5 {
		s.Region = scope[1]
	}
	if term := scope[len(scope)-1]; term != "aws4_request" {
		return nil, &Error{InvalidSignature, "Credential should be scoped with a valid terminator: 'aws4_request', not '" + shorten(term) + "'."}
	}
	for _, layout := range []string{"20060102T150405Z", time.RFC1123, time.RFC1123Z} {
		if t, err := time.Parse(layout, when); err == nil {
			s.Time = t.UTC()
			return s, nil
		}
	}
	return nil, &Error{IncompleteSignature, fmt.Sprintf("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", shorten(when))}
}
