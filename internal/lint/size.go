package lint

import "go/ast"

// Lengths in lines. Above the soft limit a file or function is named in the
// output of `go test -v ./internal/lint`; above the hard one the test fails.
const (
	softFileLines     = 600
	hardFileLines     = 700
	softFunctionLines = 70
	hardFunctionLines = 100
)

// longFiles may be longer than the hard limit: tables, where length is no
// burden on the reader. Path from the module's root, and the reason.
var longFiles = map[string]string{}

// longFunctions may be longer than the hard limit. "path.Name" or
// "path.Type.Name", and the reason.
var longFunctions = map[string]string{}

// sizes is one pass over the lengths of files and functions.
type sizes struct {
	over   []finding       // above the hard limit and not excepted: errors
	long   []finding       // above the soft limit
	unused map[string]bool // exceptions that excuse nothing any more: errors
}

func checkSizes(files []*sourceFile, exceptedFiles, exceptedFunctions map[string]string) sizes {
	out := sizes{unused: map[string]bool{}}
	for name := range exceptedFiles {
		out.unused[name] = true
	}
	for name := range exceptedFunctions {
		out.unused[name] = true
	}
	judge := func(at finding, name string, length, soft, hard int, excepted map[string]string) {
		_, excused := excepted[name]
		switch {
		case length > hard && excused:
			delete(out.unused, name)
		case length > hard:
			out.over = append(out.over, at)
		case length > soft:
			out.long = append(out.long, at)
		}
	}
	for _, file := range files {
		if file.generated {
			continue
		}
		judge(file.at(file.tree.Package, "the file has %d lines; aim at %d, at most %d: split it by what its parts do", file.lines, softFileLines, hardFileLines),
			file.path, file.lines, softFileLines, hardFileLines, exceptedFiles)
		for _, decl := range file.tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			length := functionLines(file, fn)
			judge(file.at(fn.Pos(), "%s has %d lines; aim at %d, at most %d: give its steps names", functionName(fn), length, softFunctionLines, hardFunctionLines),
				file.path+"."+functionName(fn), length, softFunctionLines, hardFunctionLines, exceptedFunctions)
		}
	}
	return out
}

// functionLines counts the lines of a function's body without its tables: the
// elements of slice, array and map literals are data, such as the cases of a
// table test, and length is no burden there.
func functionLines(file *sourceFile, fn *ast.FuncDecl) int {
	line := func(n ast.Node) (first, last int) {
		return file.set.Position(n.Pos()).Line, file.set.Position(n.End()).Line
	}
	first, last := line(fn.Body)
	length := last - first - 1
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch literal.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			if holdsCode(literal) {
				return true
			}
			first, last := file.set.Position(literal.Lbrace).Line, file.set.Position(literal.Rbrace).Line
			if last > first {
				length -= last - first - 1
			}
			return false
		}
		return true
	})
	return length
}

// holdsCode says whether a literal has function bodies in it, which are logic
// wherever they stand.
func holdsCode(literal *ast.CompositeLit) bool {
	code := false
	ast.Inspect(literal, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			code = true
		}
		return !code
	})
	return code
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	receiver := fn.Recv.List[0].Type
	for {
		switch t := receiver.(type) {
		case *ast.StarExpr:
			receiver = t.X
		case *ast.IndexExpr:
			receiver = t.X
		case *ast.IndexListExpr:
			receiver = t.X
		case *ast.Ident:
			return t.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}
