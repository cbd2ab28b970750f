package topics

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// PrintList prints topics.
func PrintList(w io.Writer, format output.Format, list []Summary) error {
	switch format {
	case output.JSON:
		return output.WriteJSON(w, list)
	case output.Name:
		for _, t := range list {
			if _, err := fmt.Fprintln(w, t.Name); err != nil {
				return err
			}
		}
		return nil
	}
	grid := output.NewGrid("NAME", "PARTITIONS", "REPLICAS", "ID")
	for _, t := range list {
		grid.Row(t.Name, output.Int(t.Partitions), output.Int(t.ReplicationFactor), t.ID)
	}
	_, err := grid.WriteTo(w)
	return err
}

// PrintDescriptions prints topics with their configs and partitions.
func PrintDescriptions(w io.Writer, format output.Format, list []Description) error {
	return output.WriteEach(w, format, list, printDescription)
}

func printDescription(w io.Writer, d Description) error {
	name := d.Name
	if d.Internal {
		name += " (internal)"
	}
	head := [][2]string{
		{"Topic", name},
		{"ID", d.ID},
		{"Partitions", output.Int(d.Partitions)},
		{"Replicas", output.Int(d.ReplicationFactor)},
		{"Records", output.Count(d.Records)},
		{"Size on disk", sizeCell(d.Size)},
	}
	for _, line := range head {
		if _, err := fmt.Fprintf(w, "%-13s %s\n", line[0]+":", line[1]); err != nil {
			return err
		}
	}
	if len(d.Configs) > 0 {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := printConfigs(w, d.Configs); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	grid := output.NewGrid("PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END", "SIZE", "ERROR")
	anyError := false
	for _, p := range d.Details {
		anyError = anyError || p.Error != ""
	}
	if !anyError {
		grid = output.NewGrid("PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END", "SIZE")
	}
	for _, p := range d.Details {
		grid.Row(output.Int(p.Partition), leaderCell(p.Leader), output.Int(p.LeaderEpoch), ids(p.Replicas), ids(p.ISR),
			output.Offset(p.Start), output.Offset(p.End), sizeCell(p.Size), p.Error)
	}
	_, err := grid.WriteTo(w)
	return err
}

func leaderCell(id int32) string {
	if id < 0 {
		return "none"
	}
	return output.Int(id)
}

func sizeCell(n *int64) string {
	if n == nil {
		return "unknown"
	}
	return output.Size(*n)
}

func ids(list []int32) string {
	parts := make([]string, len(list))
	for i, id := range list {
		parts[i] = output.Int(id)
	}
	return strings.Join(parts, ",")
}

func printConfigs(w io.Writer, configs []Config) error {
	grid := output.NewGrid("CONFIG", "VALUE", "SET BY")
	for _, c := range configs {
		value := "(none)"
		switch {
		case c.Sensitive:
			value = "(hidden)"
		case c.Value != nil:
			value = *c.Value
		}
		grid.Row(c.Name, value, c.Source)
	}
	_, err := grid.WriteTo(w)
	return err
}

// TopicConfigs is what `topic config -o json` prints for a topic.
type TopicConfigs struct {
	Topic   string   `json:"topic"`
	Configs []Config `json:"configs"`
}

// PrintConfigs prints the settings of topics.
func PrintConfigs(w io.Writer, format output.Format, list []TopicConfigs) error {
	if format == output.JSON {
		return output.WriteJSON(w, list)
	}
	for i, t := range list {
		if len(list) > 1 {
			gap := ""
			if i > 0 {
				gap = "\n"
			}
			if _, err := fmt.Fprintf(w, "%sTopic: %s\n", gap, t.Topic); err != nil {
				return err
			}
		}
		if err := printConfigs(w, t.Configs); err != nil {
			return err
		}
	}
	return nil
}

// PrintRanges prints what partitions hold.
func PrintRanges(w io.Writer, format output.Format, ranges []Range, at string) error {
	if format == output.JSON {
		return output.WriteJSON(w, ranges)
	}
	if len(ranges) == 0 { // of nothing that was asked for
		return nil
	}
	header := []string{"TOPIC", "PARTITION", "START", "END", "RECORDS"}
	if at != "" {
		header = append(header, "AT "+at)
	}
	grid := output.NewGrid(header...)
	for _, r := range ranges {
		grid.Row(r.Topic, output.Int(r.Partition), output.Int(r.Start), output.Int(r.End), output.Int(r.Records), output.Offset(r.At))
	}
	_, err := grid.WriteTo(w)
	return err
}

// PrintTrimmed prints a plan to delete records, or what became of it.
func PrintTrimmed(w io.Writer, format output.Format, plan []Trimmed) error {
	if format == output.JSON {
		return output.WriteJSON(w, plan)
	}
	header := []string{"TOPIC", "PARTITION", "START", "NEW START", "END", "DELETED"}
	notes := slices.ContainsFunc(plan, func(t Trimmed) bool { return t.Note != "" })
	errs := slices.ContainsFunc(plan, func(t Trimmed) bool { return t.Error != "" })
	if notes {
		header = append(header, "NOTE")
	}
	if errs {
		header = append(header, "ERROR")
	}
	grid := output.NewGrid(header...)
	for _, t := range plan {
		row := []string{t.Topic, output.Int(t.Partition), output.Int(t.OldStart), output.Int(t.NewStart), output.Int(t.End), output.Int(t.Deleted)}
		if notes {
			row = append(row, t.Note)
		}
		grid.Row(append(row, t.Error)...)
	}
	_, err := grid.WriteTo(w)
	return err
}
