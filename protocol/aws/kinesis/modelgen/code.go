package main

import (
	"maps"
	"slices"
	"strings"
)

func (g *generator) decoders() {
	g.p(importAWS)
	for _, name := range g.structs {
		if !g.inputs[name] {
			continue
		}
		g.p("// Decode implements aws.Input.\nfunc (x *%s) Decode(d aws.Decoder) {\nif !d.Object() {\nreturn\n}\n", name)
		if len(g.members(name)) == 0 {
			g.p("for _, ok := d.Field(); ok; _, ok = d.Field() {\nd.Skip()\n}\n}\n\n")
			continue
		}
		g.p("for name, ok := d.Field(); ok; name, ok = d.Field() {\nswitch string(name) {\n")
		for _, m := range g.members(name) {
			g.p("case %q:\n", m.name)
			g.decode("x."+m.name, m.shape)
		}
		g.p("default:\nd.Skip()\n}\n}\n}\n\n")
	}
}

func (g *generator) decode(field, name string) {
	s := g.Shapes[name]
	switch s.Type {
	case "structure":
		g.p("%s = nil\nif !d.Null() {\n%s = new(%s)\n%s.Decode(d)\n}\n", field, field, name, field)
	case "list":
		elem := g.elem(s)
		g.p("%s = nil\nif d.List() {\n%s = []%s{}\nfor d.Elem() {\n", field, field, elem)
		if elem == "string" {
			g.p("%s = append(%s, aws.Text(d.String()))\n", field, field)
		} else {
			g.p("%s = append(%s, %s{})\n%s[len(%s)-1].Decode(d)\n", field, field, elem, field, field)
		}
		g.p("}\n}\n")
	case "map":
		g.p("%s = nil\nif d.Object() {\n%s = map[string]string{}\nfor key, ok := d.Field(); ok; key, ok = d.Field() {\nk := string(key)\n%s[k] = aws.Text(d.String())\n}\n}\n", field, field, field)
	default:
		g.p("%s = d.%s()\n", field, scalars[s.Type].method)
	}
}

func (g *generator) encoders() {
	g.p(importAWS)
	for _, name := range g.structs {
		if !g.outputs[name] {
			continue
		}
		g.p("// Encode implements aws.Output.\nfunc (x *%s) Encode(e aws.Encoder) {\ne.BeginObject()\n", name)
		for _, m := range g.members(name) {
			// A required list or blob is there even if it is empty.
			t := g.Shapes[m.shape].Type
			always := g.Shapes[name].requires(m.name) && (t == "list" || t == "map" || t == "blob")
			if !always {
				g.p("if x.%s != nil {\n", m.name)
			}
			g.p("e.Field(%q)\n", m.name)
			g.encode("x."+m.name, m.shape)
			if !always {
				g.p("}\n")
			}
		}
		g.p("e.EndObject()\n}\n\n")
	}
}

func (g *generator) encode(field, name string) {
	s := g.Shapes[name]
	switch s.Type {
	case "structure":
		g.p("%s.Encode(e)\n", field)
	case "list":
		g.p("e.BeginList(len(%s))\nfor i := range %s {\ne.Elem()\n", field, field)
		if g.elem(s) == "string" {
			g.p("e.String(%s[i])\n", field)
		} else {
			g.p("%s[i].Encode(e)\n", field)
		}
		g.p("}\ne.EndList()\n")
	case "map":
		g.p("e.BeginMap(len(%s))\nfor key, value := range %s {\ne.Key(key)\ne.String(value)\n}\ne.EndObject()\n", field, field)
	case "integer":
		g.p("e.Int(int64(*%s))\n", field)
	case "long":
		g.p("e.Int(*%s)\n", field)
	case "blob":
		g.p("e.Blob(%s)\n", field)
	default:
		g.p("e.%s(*%s)\n", scalars[s.Type].method, field)
	}
}

// constrained says whether the model says anything of a shape's values.
func (s *shape) constrained() bool {
	return s.Min != nil || s.Max != nil || s.Pattern != "" || len(s.Enum) > 0
}

// variable is the name of a shape's constraint.
func (g *generator) variable(name string) string {
	if !g.Shapes[name].constrained() && g.Shapes[name].Type != "structure" {
		return "new(aws.Constraint)"
	}
	return "of" + name
}

func (g *generator) constraints() {
	g.p(importAWS)
	g.p("// What the model says of each shape's values.\nvar (\n")
	for _, name := range slices.Sorted(maps.Keys(g.Shapes)) {
		s := g.Shapes[name]
		if !g.inputs[name] || !s.constrained() && !g.listed(name) {
			continue
		}
		g.p("of%s = &aws.Constraint{", name)
		if s.Min != nil {
			g.p("Min: %d, HasMin: true, ", *s.Min)
		}
		if s.Max != nil {
			g.p("Max: %d, HasMax: true, ", *s.Max)
		}
		if s.Pattern != "" {
			g.p("Pattern: %q, ", pattern(s.Pattern))
		}
		if len(s.Enum) > 0 {
			values := s.Enum
			if seen, ok := enumAsSeen[name]; ok {
				values = seen
			}
			g.p("Enum: []string{%s}, ", quoted(values))
		}
		if s.Type == "structure" {
			g.p("Shape: %q", "com.amazonaws.kinesis.v20131202."+name)
		}
		g.p("}\n")
	}
	g.p(")\n")
}

// enumAsSeen are sets that AWS's messages are known to list in another order than
// the model.
var enumAsSeen = map[string][]string{
	"ShardIteratorType": {"AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"},
}

// listed says whether a structure is an element of a list of a request.
func (g *generator) listed(name string) bool {
	if g.Shapes[name].Type != "structure" {
		return false
	}
	for list := range g.inputs {
		if s := g.Shapes[list]; s.Type == "list" && s.Member.Shape == name {
			return true
		}
	}
	return false
}

// pattern is a regular expression as AWS's messages show it: without the anchors
// and parentheses that the model puts around the whole.
func pattern(p string) string {
	inner, ok := strings.CutPrefix(p, "^(")
	inner, ok2 := strings.CutSuffix(inner, ")$")
	if !ok || !ok2 {
		return strings.TrimSuffix(strings.TrimPrefix(p, "^"), "$")
	}
	return inner
}

func quoted(list []string) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(`"` + s + `", `)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

func (g *generator) validators() {
	g.p(importAWS)
	for _, name := range g.structs {
		if !g.inputs[name] {
			continue
		}
		v := "v"
		if len(g.members(name)) == 0 {
			v = "_"
		}
		g.p("// Validate implements aws.Input.\nfunc (x *%s) Validate(%s *aws.Validator) {\n", name, v)
		for _, m := range g.members(name) {
			if g.Shapes[name].requires(m.name) {
				g.p("v.Required(%q, x.%s != nil)\n", lowerFirst(m.name), m.name)
			}
			g.validate(m)
		}
		g.p("}\n\n")
	}
}

func (g *generator) validate(m member) {
	s, field, at := g.Shapes[m.shape], "x."+m.name, lowerFirst(m.name)
	switch s.Type {
	case "structure":
		g.p("if %s != nil {\nv.Enter(%q, 0)\n%s.Validate(v)\nv.Leave()\n}\n", field, at, field)
	case "list":
		if g.elem(s) == "string" {
			g.p("v.Strings(%q, %s, %s, %s)\n", at, field, g.variable(m.shape), g.variable(s.Member.Shape))
			return
		}
		g.p("if %s != nil {\nv.Structures(%q, len(%s), %s, of%s)\n}\n", field, at, field, g.variable(m.shape), s.Member.Shape)
		g.p("for i := range %s {\nv.Enter(%q, i+1)\n%s[i].Validate(v)\nv.Leave()\n}\n", field, at, field)
	case "map":
		g.p("v.Map(%q, %s, %s, %s, %s)\n", at, field, g.variable(m.shape), g.variable(s.Key.Shape), g.variable(s.Value.Shape))
	default:
		if s.constrained() {
			g.p("v.%s(%q, %s, of%s)\n", scalars[s.Type].method, at, field, m.shape)
		}
	}
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
