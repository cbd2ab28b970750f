package output

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// columnGap stands between two columns.
const columnGap = "  "

const (
	boldOn  = "\x1b[1m"
	boldOff = "\x1b[0m"
)

// Grid is a table to print. Columns of which every cell is a number are
// aligned to the right.
type Grid struct {
	header []string
	rows   [][]string
}

// NewGrid starts a table with these column heads.
func NewGrid(header ...string) *Grid { return &Grid{header: header} }

// Row adds a row; it has as many cells as the header.
func (g *Grid) Row(cells ...string) {
	row := make([]string, len(g.header))
	for i := range row {
		if i < len(cells) {
			row[i] = Printable(cells[i])
		}
		if row[i] == "" {
			row[i] = "-"
		}
	}
	g.rows = append(g.rows, row)
}

// WriteTo prints the table. Heads are bold on a terminal unless NO_COLOR is set.
func (g *Grid) WriteTo(w io.Writer) (int64, error) {
	widths, right := g.measure()
	var b bytes.Buffer
	bold := Colours(w)
	if bold {
		b.WriteString(boldOn)
	}
	writeRow(&b, g.header, widths, right)
	if bold {
		b.Truncate(b.Len() - 1)
		b.WriteString(boldOff + "\n")
	}
	for _, row := range g.rows {
		writeRow(&b, row, widths, right)
	}
	n, err := w.Write(b.Bytes())
	return int64(n), err
}

func (g *Grid) measure() (widths []int, right []bool) {
	widths = make([]int, len(g.header))
	right = make([]bool, len(g.header))
	for i, head := range g.header {
		widths[i] = utf8.RuneCountInString(head)
		right[i] = len(g.rows) > 0
		for _, row := range g.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
			right[i] = right[i] && looksNumeric(row[i])
		}
	}
	return widths, right
}

// looksNumeric accepts numbers, signed numbers, sizes ("1.5 MiB") and the dash
// of an empty cell.
func looksNumeric(cell string) bool {
	if cell == "-" {
		return true
	}
	number, unit, _ := strings.Cut(cell, " ")
	if unit != "" && !isSizeUnit(unit) {
		return false
	}
	_, err := strconv.ParseFloat(number, 64)
	return err == nil
}

func writeRow(b *bytes.Buffer, cells []string, widths []int, right []bool) {
	for i, cell := range cells {
		if i > 0 {
			b.WriteString(columnGap)
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		switch {
		case right[i]:
			b.WriteString(pad + cell)
		case i == len(cells)-1:
			b.WriteString(cell)
		default:
			b.WriteString(cell + pad)
		}
	}
	b.WriteByte('\n')
}

// Printable returns s with everything that could move a terminal's cursor or
// change its colours written as an escape: names and client ids come from
// other people.
func Printable(s string) string {
	clean := utf8.ValidString(s)
	for _, r := range s {
		clean = clean && unicode.IsPrint(r)
	}
	if clean {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
