package comparison

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Kind says what a row is for.
type Kind int

const (
	ForComparison Kind = iota // gets a ratio to the baseline
	ForReading                // no ratio: too close to zero to divide by
	GeneratorCost             // the load generator's own, to be held against the broker's
)

// Metric is one figure of one run.
type Metric struct {
	Scenario string
	Name     string
	Value    float64
	Decimals int
	Kind     Kind
}

// Figure makes a metric.
func Figure(scenario, name string, value float64, decimals int, kind Kind) Metric {
	return Metric{Scenario: scenario, Name: name, Value: value, Decimals: decimals, Kind: kind}
}

// row is one line of the table: a metric over all systems and rounds.
type row struct {
	Scenario string               `json:"scenario"`
	Metric   string               `json:"metric"`
	Rounds   map[string][]float64 `json:"rounds"` // by system, in the order of the rounds
	decimals int
	kind     Kind
}

// results gathers figures as runs end.
type results struct {
	systems  []*System
	rows     []*row
	unserved []gap
}

// gap is where a system has no figures, and why.
type gap struct {
	system, scenario string
	why              error
}

func (g gap) String() string {
	return fmt.Sprintf("%s, %s: not measured: %v", g.system, g.scenario, g.why)
}

// lacks notes that a system does not serve what a scenario needs.
func (r *results) lacks(system, scenario string, why error) {
	if !slices.ContainsFunc(r.unserved, func(g gap) bool { return g.system == system && g.scenario == scenario }) {
		r.unserved = append(r.unserved, gap{system, scenario, why})
	}
}

func (r *results) add(system string, metrics []Metric) {
	for _, m := range metrics {
		i := slices.IndexFunc(r.rows, func(row *row) bool { return row.Scenario == m.Scenario && row.Metric == m.Name })
		if i < 0 {
			i = len(r.rows)
			r.rows = append(r.rows, &row{m.Scenario, m.Name, map[string][]float64{}, m.Decimals, m.Kind})
		}
		r.rows[i].Rounds[system] = append(r.rows[i].Rounds[system], m.Value)
	}
}

// median of the rounds; ok is false where there are none.
func (r *row) median(system string) (float64, bool) {
	values := slices.Sorted(slices.Values(r.Rounds[system]))
	switch n := len(values); {
	case n == 0:
		return 0, false
	case n%2 == 1:
		return values[n/2], true
	default:
		return (values[n/2-1] + values[n/2]) / 2, true
	}
}

// ratio to the system's baseline.
func (r *row) ratio(s *System) (float64, bool) {
	if r.kind != ForComparison || s.Baseline == "" {
		return 0, false
	}
	value, ok := r.median(s.Name)
	base, okBase := r.median(s.Baseline)
	return value / base, ok && okBase && base > 0
}

// cells makes the table as text: a header line, then a line for each row.
func (r *results) cells() [][]string {
	header := []string{"", ""}
	for _, s := range r.systems {
		header = append(header, s.Name)
	}
	lines := [][]string{header}
	previous := ""
	for _, row := range r.rows {
		line := []string{row.Scenario, row.Metric}
		if row.Scenario == previous {
			line[0] = ""
		}
		previous = row.Scenario
		for _, s := range r.systems {
			cell := "-"
			if value, ok := row.median(s.Name); ok {
				cell = fmt.Sprintf("%.*f", row.decimals, value)
				if ratio, ok := row.ratio(s); ok {
					cell += fmt.Sprintf(" (x%.2f)", ratio)
				}
			}
			line = append(line, cell)
		}
		lines = append(lines, line)
	}
	return lines
}

func (r *results) writeText(w io.Writer) error {
	lines := r.cells()
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var out strings.Builder
	for n, line := range lines {
		var text strings.Builder
		for i, cell := range line {
			if i < 2 {
				fmt.Fprintf(&text, "%-*s  ", widths[i], cell)
			} else {
				fmt.Fprintf(&text, "%*s  ", widths[i], cell)
			}
		}
		out.WriteString(strings.TrimRight(text.String(), " ") + "\n")
		if n == 0 {
			out.WriteString(strings.Repeat("-", len(strings.TrimRight(text.String(), " "))) + "\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (r *results) writeMarkdown(w io.Writer) error {
	var out strings.Builder
	for n, line := range r.cells() {
		out.WriteString("| " + strings.Join(line, " | ") + " |\n")
		if n == 0 {
			out.WriteString("|---|---|" + strings.Repeat("---:|", len(line)-2) + "\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// writeJSON gives every round's figure, for whoever wants the spread.
func (r *results) writeJSON(w io.Writer, notes []string) error {
	type systemNote struct {
		Name       string     `json:"name"`
		What       string     `json:"what"`
		Durability Durability `json:"durability"`
		Baseline   string     `json:"baseline,omitempty"`
	}
	document := struct {
		Notes   []string     `json:"notes"`
		Systems []systemNote `json:"systems"`
		Rows    []*row       `json:"rows"`
	}{Notes: notes, Rows: r.rows}
	for _, s := range r.systems {
		document.Systems = append(document.Systems, systemNote{s.Name, s.What, s.Durable, s.Baseline})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

const (
	wideSpread = 0.30 // of the median, between the lowest and the highest round
	costlyLoad = 0.50 // of the broker's CPU time

	// The names of CPU figures begin with whose they are; what follows is the same.
	brokerCPU, generatorCPU = "broker", "generator"
)

// doubts names what the reader should know before believing the table.
func (r *results) doubts() []string {
	var doubts []string
	for _, gap := range r.unserved {
		doubts = append(doubts, gap.String())
	}
	for _, row := range r.rows {
		for _, s := range r.systems {
			median, ok := row.median(s.Name)
			if !ok {
				continue
			}
			values := row.Rounds[s.Name]
			low, high := slices.Min(values), slices.Max(values)
			if row.kind == ForComparison && high-low > wideSpread*median {
				doubts = append(doubts, fmt.Sprintf("%s, %s, %s: rounds from %.*f to %.*f",
					s.Name, row.Scenario, row.Metric, row.decimals, low, row.decimals, high))
			}
			if row.kind == GeneratorCost {
				if broker, ok := r.brokerCPU(row, s.Name); ok && median > costlyLoad*broker {
					doubts = append(doubts, fmt.Sprintf("%s, %s: %.*f %s beside the broker's %.*f; on a busy machine the figures are partly the generator's own",
						s.Name, row.Scenario, row.decimals, median, row.Metric, row.decimals, broker))
				}
			}
		}
	}
	return doubts
}

// brokerCPU is what the broker spent beside a generator's cost.
func (r *results) brokerCPU(generator *row, system string) (float64, bool) {
	name := brokerCPU + strings.TrimPrefix(generator.Metric, generatorCPU)
	for _, row := range r.rows {
		if row.Scenario == generator.Scenario && row.Metric == name {
			return row.median(system)
		}
	}
	return 0, false
}
