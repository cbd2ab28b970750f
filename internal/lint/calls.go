package lint

import (
	"go/ast"
	"strings"
)

// callRule forbids uses of one function of the standard library.
type callRule struct {
	pkg    string
	name   string
	except func(*sourceFile) bool // files the rule does not bind; nil: none
	why    string
}

var callRules = []callRule{
	{
		pkg: "time", name: "Sleep",
		why: "a sleep waits too long on one machine and too short on another, and nothing can cut it short; wait for the event itself (a channel, a condition, a readiness check with a deadline), or use a timer beside ctx.Done()",
	},
	{
		pkg: "os", name: "Exit", except: mayExit,
		why: "only a main package ends the process; return an error, so that deferred clean-up runs",
	},
	{
		pkg: "net", name: "Dial", except: func(file *sourceFile) bool { return file.test },
		why: "a dial without a context or a time limit can hang for minutes; use net.Dialer.DialContext",
	},
	{
		pkg: "net/http", name: "DefaultServeMux",
		why: "it is global state that any package can add to",
	},
	{
		pkg: "net/http", name: "HandleFunc",
		why: "it registers on a global; make a mux",
	},
	{
		pkg: "net/http", name: "Handle",
		why: "it registers on a global; make a mux",
	},
}

// mayExit: a main package ends the process, and so does a TestMain or what it calls.
func mayExit(file *sourceFile) bool {
	return mainPackage(file) || file.localName("testing") != ""
}

func mainPackage(file *sourceFile) bool { return file.tree.Name.Name == "main" }

// checkCalls reports uses of forbidden functions, called or taken as values.
func checkCalls(files []*sourceFile, rules []callRule) []finding {
	var found []finding
	for _, file := range files {
		for _, rule := range rules {
			local := file.localName(rule.pkg)
			if local == "" || (rule.except != nil && rule.except(file)) {
				continue
			}
			ast.Inspect(file.tree, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				if !ok || selector.Sel.Name != rule.name {
					return true
				}
				if ident, ok := selector.X.(*ast.Ident); ok && ident.Name == local {
					found = append(found, file.at(selector.Pos(), "%s.%s: %s", rule.pkg, rule.name, rule.why))
				}
				return true
			})
		}
	}
	return found
}

// checkFatal reports calls of methods that end the process after logging (zap's
// and other loggers' Fatal) outside main packages. Files that import testing are
// left out: there, Fatal is the test's.
func checkFatal(files []*sourceFile) []finding {
	var found []finding
	for _, file := range files {
		if file.test || mainPackage(file) || file.localName("testing") != "" {
			continue
		}
		ast.Inspect(file.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if ok && (selector.Sel.Name == "Fatal" || selector.Sel.Name == "Fatalf" || selector.Sel.Name == "Fatalln") {
				found = append(found, file.at(call.Pos(), "%s ends the process; only a main package may: return an error", selector.Sel.Name))
			}
			return true
		})
	}
	return found
}

// checkInit reports init functions: a package does nothing by being imported.
func checkInit(files []*sourceFile) []finding {
	var found []finding
	for _, file := range files {
		if file.generated {
			continue
		}
		for _, decl := range file.tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, file.at(fn.Pos(), "an init function acts on being imported; give whoever needs it a function to call"))
			}
		}
	}
	return found
}

// checkPackageDocs reports packages without a comment that says what they are for.
func checkPackageDocs(files []*sourceFile) []finding {
	first := map[string]*sourceFile{}
	var order []string
	documented := map[string]bool{}
	for _, file := range files {
		if file.test {
			continue
		}
		if first[file.dir] == nil {
			first[file.dir] = file
			order = append(order, file.dir)
		}
		if file.tree.Doc != nil && strings.TrimSpace(file.tree.Doc.Text()) != "" {
			documented[file.dir] = true
		}
	}
	var found []finding
	for _, dir := range order {
		if !documented[dir] {
			found = append(found, first[dir].at(first[dir].tree.Package, "package %s has no package comment; say what it is for", first[dir].tree.Name.Name))
		}
	}
	return found
}
