package stream

import (
	"encoding/json"
	"slices"
	"strings"
)

// Policy is the resource policy of the stream or consumer with this ARN; an empty
// one where it has none.
func (m *Manager) Policy(arn string) (string, error) {
	r, err := m.resource(arn)
	switch {
	case err != nil:
		return "", err
	case r.c != nil:
		return r.c.Policy, nil
	}
	return r.t.Stream.Policy, nil
}

// PutPolicy gives the stream or consumer with this ARN a resource policy. It is
// kept and shown; nobody is refused or let in by it.
func (m *Manager) PutPolicy(arn, policy string) error {
	r, err := m.resource(arn)
	if err != nil {
		return err
	}
	if why := checkPolicy(policy, arn); why != "" {
		return Errorf(InvalidArgument, "The resource policy is not valid: %s", why)
	}
	return m.setPolicy(r, policy)
}

// DeletePolicy removes the resource policy of the stream or consumer with this ARN.
func (m *Manager) DeletePolicy(arn string) error {
	r, err := m.resource(arn)
	if err != nil {
		return err
	}
	if r.c == nil && r.t.Stream.Policy == "" || r.c != nil && r.c.Policy == "" {
		return Errorf(ResourceNotFound, "No resource policy found for resource ARN %s", arn)
	}
	return m.setPolicy(r, "")
}

// maxPolicyBytes is the longest resource policy, as IAM has it.
const maxPolicyBytes = 20 << 10

// policyDoc is a resource policy, as far as its form is checked.
type policyDoc struct {
	Version   string
	ID        string `json:"Id"`
	Statement oneOrMore[policyStatement]
}

type policyStatement struct {
	Sid          string
	Effect       string
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
	Action       oneOrMore[string]
	NotAction    oneOrMore[string]
	Resource     oneOrMore[string]
	NotResource  oneOrMore[string]
	Condition    map[string]map[string]json.RawMessage
}

// oneOrMore is a list that may be written as its only member.
type oneOrMore[T any] []T

// UnmarshalJSON reads either form.
func (l *oneOrMore[T]) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(b)), "[") {
		return strictJSON(b, (*[]T)(l))
	}
	var one T
	if err := strictJSON(b, &one); err != nil {
		return err
	}
	*l = oneOrMore[T]{one}
	return nil
}

func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// checkPolicy says what is wrong with the form of a resource policy.
func checkPolicy(policy, arn string) string {
	if len(policy) > maxPolicyBytes {
		return "it is longer than 20480 bytes."
	}
	var doc policyDoc
	if !json.Valid([]byte(policy)) || strictJSON([]byte(policy), &doc) != nil {
		return "it is not a policy document in JSON."
	}
	if doc.Version != "2012-10-17" && doc.Version != "2008-10-17" && doc.Version != "" {
		return "its Version is unknown."
	}
	if len(doc.Statement) == 0 {
		return "it has no Statement."
	}
	for _, s := range doc.Statement {
		if why := s.check(arn); why != "" {
			return why
		}
	}
	return ""
}

func (s *policyStatement) check(arn string) string {
	switch {
	case s.Effect != "Allow" && s.Effect != "Deny":
		return "the Effect of a Statement must be Allow or Deny."
	case (s.Principal == nil) == (s.NotPrincipal == nil):
		return "a Statement must have a Principal."
	case (len(s.Action) == 0) == (len(s.NotAction) == 0):
		return "a Statement must have an Action."
	case (len(s.Resource) == 0) == (len(s.NotResource) == 0):
		return "a Statement must have a Resource."
	}
	for _, action := range slices.Concat(s.Action, s.NotAction) {
		if service, _, ok := strings.Cut(action, ":"); action != "*" && (!ok || !strings.EqualFold(service, "kinesis")) {
			return "its actions must be those of Kinesis."
		}
	}
	for _, r := range s.Resource {
		if r != arn {
			return "its Resource must be the ARN that the policy is attached to."
		}
	}
	return ""
}
