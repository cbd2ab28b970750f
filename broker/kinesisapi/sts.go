package kinesisapi

import (
	"encoding/xml"
	"mime"
	"net/http"
	"net/url"

	"github.com/streamweir/streamweir/protocol/aws"
)

// STS is asked by many tools before anything else: who am I? It speaks AWS's query
// protocol, with parameters in a form or in the URL and answers in XML.

const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// isQuery says whether a request is of the query protocol.
func isQuery(r *http.Request) bool {
	if r.Header.Get("X-Amz-Target") != "" {
		return false
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && media == "application/x-www-form-urlencoded" ||
		r.Method == http.MethodGet && r.URL.Query().Has("Action")
}

type getCallerIdentityResponse struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	Arn       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

type errorResponse struct {
	XMLName   xml.Name
	Type      string `xml:"Error>Type"`
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

func (s *Server) sts(w http.ResponseWriter, r *http.Request, call *Call) {
	call.Action = "GetCallerIdentity"
	signed, bad := signature(r)
	if bad != nil {
		s.failQuery(w, call, http.StatusForbidden, withoutSuffix(bad))
		return
	}
	if !s.readBody(w, r, call) {
		return
	}
	params := r.URL.Query()
	if form, err := url.ParseQuery(string(call.body.Buf.B)); err == nil && r.Method == http.MethodPost {
		params = form
	}
	action, version := params.Get("Action"), params.Get("Version")
	switch {
	case action == "":
		s.failQuery(w, call, http.StatusBadRequest, &aws.Error{Type: "MissingAction", Message: "The request has no parameter Action."})
		return
	case action != call.Action || version != stsVersion:
		s.failQuery(w, call, http.StatusBadRequest, &aws.Error{Type: "InvalidAction", Message: "Could not find operation " + action + " for version " + version})
		return
	}
	var err error
	if call.Caller, err = s.auth.Authenticate(r.Context(), &SignedRequest{signed, r, call.body.Buf.B}); err != nil {
		s.failQuery(w, call, http.StatusForbidden, withoutSuffix(s.asError(call, err)))
		return
	}
	s.sendXML(w, call, http.StatusOK, &getCallerIdentityResponse{
		Arn: call.Caller.ARN, UserID: call.Caller.UserID, Account: call.Caller.Account, RequestID: call.RequestID,
	})
}

// withoutSuffix names an error as the query protocol does.
func withoutSuffix(e *aws.Error) *aws.Error {
	name := e.Type
	for _, suffix := range []string{"Exception"} {
		if len(name) > len(suffix) && name[len(name)-len(suffix):] == suffix {
			name = name[:len(name)-len(suffix)]
		}
	}
	return &aws.Error{Type: name, Message: e.Message}
}

func (s *Server) failQuery(w http.ResponseWriter, call *Call, status int, e *aws.Error) {
	s.metrics.failed(call.Action, e.Type)
	s.sendXML(w, call, status, &errorResponse{
		XMLName: xml.Name{Space: stsNamespace, Local: "ErrorResponse"},
		Type:    "Sender", Code: e.Type, Message: e.Message, RequestID: call.RequestID,
	})
}

func (s *Server) sendXML(w http.ResponseWriter, call *Call, status int, v any) {
	body, err := xml.Marshal(v)
	if err != nil {
		panic(err) // a struct of texts has an encoding
	}
	s.send(w, call, status, "text/xml", append(body, '\n'))
}

// answerXML is how AWS answers what is neither JSON nor CBOR.
func (s *Server) answerXML(w http.ResponseWriter, call *Call, status int, e *aws.Error) {
	body := "<" + e.Type + "/>\n"
	if e.Message != "" {
		body = "<" + e.Type + ">\n  <Message>" + e.Message + "</Message>\n</" + e.Type + ">\n"
	}
	s.send(w, call, status, "application/xml", []byte(body))
}
