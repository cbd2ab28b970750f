package groups

import (
	"fmt"
	"io"
	"strings"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// PrintList prints groups.
func PrintList(w io.Writer, format output.Format, list []Summary) error {
	switch format {
	case output.JSON:
		return output.WriteJSON(w, list)
	case output.Name:
		for _, g := range list {
			if _, err := fmt.Fprintln(w, g.Group); err != nil {
				return err
			}
		}
		return nil
	}
	grid := output.NewGrid("GROUP", "STATE", "TYPE", "PROTOCOL TYPE", "COORDINATOR")
	for _, g := range list {
		grid.Row(g.Group, g.State, g.Type, g.ProtocolType, output.Int(g.Coordinator))
	}
	_, err := grid.WriteTo(w)
	return err
}

// PrintDescriptions prints groups with their members and lags.
func PrintDescriptions(w io.Writer, format output.Format, list []Description) error {
	return output.WriteEach(w, format, list, printDescription)
}

// totalLag is the lag of all partitions, as far as they have one. Before the first
// assignment of a group that has committed nothing, there are no partitions at all.
func totalLag(d *Description) string {
	uncommitted, unknown := 0, 0
	for i := range d.Partitions {
		switch p := &d.Partitions[i]; {
		case p.Committed == nil:
			uncommitted++
		case p.Lag == nil:
			unknown++
		}
	}
	switch {
	case d.Lag == nil && unknown > 0:
		return "- (of no partition with a committed offset is the end known)"
	case d.Lag == nil && len(d.Partitions) == 0 && len(d.Members) > 0:
		return "- (nothing is assigned yet, and no partition has a committed offset)"
	case d.Lag == nil:
		return "- (no partition has a committed offset)"
	}
	text := output.Count(*d.Lag)
	if uncommitted > 0 {
		text += fmt.Sprintf(", and %s without a committed offset", output.Plural(int64(uncommitted), "partition"))
	}
	if unknown > 0 {
		text += fmt.Sprintf(", and %s whose end is not known", output.Plural(int64(unknown), "partition"))
	}
	return text
}

func printDescription(w io.Writer, d Description) error {
	protocol := d.Type
	for _, part := range []string{d.ProtocolType, d.Protocol} {
		if part != "" {
			protocol += ", " + part
		}
	}
	for _, line := range [][2]string{
		{"Group", output.Printable(d.Group)},
		{"State", d.State},
		{"Protocol", output.Printable(protocol)},
		{"Coordinator", output.Int(d.Coordinator)},
		{"Members", output.Int(len(d.Members))},
		{"Total lag", totalLag(&d)},
	} {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", line[0]+":", line[1]); err != nil {
			return err
		}
	}
	if len(d.Members) > 0 {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		grid := output.NewGrid("MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNMENT")
		for _, m := range d.Members {
			instance := ""
			if m.InstanceID != nil {
				instance = *m.InstanceID
			}
			grid.Row(m.MemberID, instance, m.ClientID, strings.TrimPrefix(m.Host, "/"), assignmentCell(m.Assignment))
		}
		if _, err := grid.WriteTo(w); err != nil {
			return err
		}
	}
	if len(d.Partitions) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return printPartitions(w, d.Partitions)
}

func assignmentCell(as []Assignment) string {
	parts := make([]string, len(as))
	for i, a := range as {
		parts[i] = a.Topic + ":" + output.Ranges(a.Partitions)
	}
	return strings.Join(parts, " ")
}

func printPartitions(w io.Writer, ps []Partition) error {
	header := []string{"TOPIC", "PARTITION", "COMMITTED", "START", "END", "LAG", "CLIENT"}
	for _, p := range ps {
		if p.Error != "" {
			header = append(header, "ERROR")
			break
		}
	}
	grid := output.NewGrid(header...)
	for _, p := range ps {
		grid.Row(p.Topic, output.Int(p.Partition), output.Offset(p.Committed), output.Offset(p.Start), output.Offset(p.End),
			output.Offset(p.Lag), p.ClientID, p.Error)
	}
	_, err := grid.WriteTo(w)
	return err
}

// PrintPlan prints what a reset would do, or did.
func PrintPlan(w io.Writer, format output.Format, plan Plan) error {
	if format == output.JSON {
		return output.WriteJSON(w, plan)
	}
	header := []string{"TOPIC", "PARTITION", "CURRENT", "NEW", "CHANGE", "LAG AFTER"}
	notes, errs := false, false
	for _, m := range plan.Moves {
		notes = notes || m.Note != ""
		errs = errs || m.Error != ""
	}
	if notes {
		header = append(header, "NOTE")
	}
	if errs {
		header = append(header, "ERROR")
	}
	grid := output.NewGrid(header...)
	for _, m := range plan.Moves {
		change := ""
		if m.Change != nil {
			change = fmt.Sprintf("%+d", *m.Change)
		}
		row := []string{m.Topic, output.Int(m.Partition), output.Offset(m.Current), output.Offset(m.New), change, output.Offset(m.Lag)}
		if notes {
			row = append(row, m.Note)
		}
		if errs {
			row = append(row, m.Error)
		}
		grid.Row(row...)
	}
	_, err := grid.WriteTo(w)
	return err
}
