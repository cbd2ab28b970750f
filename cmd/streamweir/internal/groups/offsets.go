package groups

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// maxImportedOffsets bounds what an import file can make us hold.
const maxImportedOffsets = 1_000_000

// SavedOffset is one committed offset in a file. In CSV it is the line
// topic,partition,offset that Kafka's own tool exports and imports.
type SavedOffset struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Offset      int64  `json:"offset"`
	LeaderEpoch *int32 `json:"leader_epoch,omitempty"`
	Metadata    string `json:"metadata,omitempty"`
}

// FileFormat is how offsets are written in a file.
type FileFormat string

// The formats of an offsets file.
const (
	CSV  FileFormat = "csv"
	JSON FileFormat = "json"
)

// Export writes the committed offsets of a group.
func Export(ctx context.Context, c *client.Cluster, group string, w io.Writer, format FileFormat) error {
	committed, err := Committed(ctx, c, group)
	if err != nil {
		return err
	}
	if len(committed) == 0 {
		return fmt.Errorf("group %q has no committed offsets to export", group)
	}
	saved := make([]SavedOffset, 0, len(committed))
	for _, o := range committed {
		s := SavedOffset{Topic: o.Topic, Partition: o.Partition, Offset: o.At, Metadata: o.Metadata}
		if o.LeaderEpoch >= 0 {
			s.LeaderEpoch = &o.LeaderEpoch
		}
		saved = append(saved, s)
	}
	return WriteOffsets(w, saved, format)
}

// WriteOffsets writes an offsets file.
func WriteOffsets(w io.Writer, saved []SavedOffset, format FileFormat) error {
	if format == JSON {
		if saved == nil {
			saved = []SavedOffset{} // an empty array, not null
		}
		return output.WriteJSON(w, saved)
	}
	out := csv.NewWriter(w)
	for _, s := range saved {
		if err := out.Write([]string{s.Topic, output.Int(s.Partition), output.Int(s.Offset)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// ReadOffsets reads an offsets file: JSON if it begins with a bracket, CSV
// otherwise. CSV lines are topic,partition,offset; a line in the form
// group,topic,partition,offset, which Kafka's tool writes when it exports
// several groups, is taken if it is of this group.
func ReadOffsets(r io.Reader, group string) ([]SavedOffset, error) {
	in := bufio.NewReader(r)
	for {
		c, err := in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil, errors.New("the file is empty")
			}
			return nil, err
		}
		if strings.IndexByte(" \t\r\n", c) >= 0 {
			continue
		}
		if err := in.UnreadByte(); err != nil {
			return nil, err
		}
		if c == '[' {
			return readJSON(in)
		}
		return readCSV(in, group)
	}
}

func readJSON(r io.Reader) ([]SavedOffset, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var saved []SavedOffset
	for dec.More() {
		s := SavedOffset{Offset: -1, Partition: -1}
		if err := dec.Decode(&s); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(saved)+1, err)
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(saved)+1, err)
		}
		if saved = append(saved, s); len(saved) > maxImportedOffsets {
			return nil, fmt.Errorf("the file has more than %d offsets", maxImportedOffsets)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("the JSON array is not complete: %w", err)
	}
	return saved, nil
}

func (s SavedOffset) check() error {
	switch {
	case s.Topic == "":
		return errors.New("the topic is missing")
	case s.Partition < 0:
		return errors.New("the partition is missing or negative")
	case s.Offset < 0:
		return errors.New("the offset is missing or negative")
	}
	return nil
}

func readCSV(r io.Reader, group string) ([]SavedOffset, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.ReuseRecord = true
	in.TrimLeadingSpace = true
	var saved []SavedOffset
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return saved, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		s, mine, err := parseCSV(fields, group, line == 1)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if !mine {
			continue
		}
		if saved = append(saved, s); len(saved) > maxImportedOffsets {
			return nil, fmt.Errorf("the file has more than %d offsets", maxImportedOffsets)
		}
	}
}

// parseCSV reads one line. A first line of names is a header and not ours.
func parseCSV(fields []string, group string, first bool) (s SavedOffset, mine bool, err error) {
	if len(fields) == 4 {
		if fields[0] != group && !(first && fields[0] == "group") {
			return s, false, nil
		}
		fields = fields[1:]
	}
	if len(fields) != 3 {
		return s, false, fmt.Errorf("it has %d fields; write topic,partition,offset", len(fields))
	}
	if first && fields[1] == "partition" && fields[2] == "offset" {
		return s, false, nil
	}
	p, err := strconv.ParseInt(strings.TrimSpace(fields[1]), 10, 32)
	if err != nil {
		return s, false, fmt.Errorf("%q is not a partition", fields[1])
	}
	n, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
	if err != nil {
		return s, false, fmt.Errorf("%q is not an offset", fields[2])
	}
	s = SavedOffset{Topic: strings.TrimSpace(fields[0]), Partition: int32(p), Offset: n}
	return s, true, s.check()
}

// PlanImport says what committing saved offsets would do. They are kept inside
// the bounds of the log, as a reset does.
func PlanImport(ctx context.Context, c *client.Cluster, group string, saved []SavedOffset) (Plan, error) {
	plan := Plan{Group: group, Moves: []Move{}}
	if len(saved) == 0 {
		return plan, fmt.Errorf("the file has no offsets of group %q", group)
	}
	committed, err := Committed(ctx, c, group)
	if err != nil {
		return plan, err
	}
	current := make(map[position.Partition]int64, len(committed))
	for _, o := range committed {
		current[position.Partition{Topic: o.Topic, Partition: o.Partition}] = o.At
	}
	wanted := make(map[position.Partition]SavedOffset, len(saved))
	var ps []position.Partition
	for _, s := range saved {
		p := position.Partition{Topic: s.Topic, Partition: s.Partition}
		if _, twice := wanted[p]; twice {
			return plan, fmt.Errorf("the file has two offsets for %s", p)
		}
		wanted[p] = s
		ps = append(ps, p)
	}
	position.Sort(ps)
	bounds, err := position.Finder{Cluster: c}.Bounds(ctx, ps)
	if err != nil {
		return plan, err
	}
	for _, p := range ps {
		s := wanted[p]
		var cur *int64
		if n, ok := current[p]; ok {
			cur = &n
		}
		m := move(p, Target{Kind: ToOffset, N: s.Offset}, bounds[p], cur, 0)
		m.metadata = s.Metadata
		if s.LeaderEpoch != nil {
			m.leaderEpoch = *s.LeaderEpoch
		}
		plan.Moves = append(plan.Moves, m)
	}
	return plan, nil
}

// DeleteOffsets forgets the committed offsets of a group in some partitions.
func DeleteOffsets(ctx context.Context, c *client.Cluster, group string, selection []position.Selection) ([]output.Result, error) {
	committed, err := Committed(ctx, c, group)
	if err != nil {
		return nil, err
	}
	set := make(kadm.TopicsSet)
	for _, o := range committed {
		for _, s := range selection {
			if s.Topic == o.Topic && (s.Partitions == nil || contains(s.Partitions, o.Partition)) {
				set.Add(o.Topic, o.Partition)
			}
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("group %q has no committed offsets there", group)
	}
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	responses, err := c.Admin.DeleteOffsets(ctx, group, set)
	if err != nil {
		return nil, fmt.Errorf("delete offsets of group %q: %w", group, c.Explain(err))
	}
	var results []output.Result
	for _, t := range set.Sorted() {
		for _, p := range t.Partitions {
			r := output.Result{Name: position.Partition{Topic: t.Topic, Partition: p}.String(), Done: "deleted"}
			if err, _ := responses.Lookup(t.Topic, p); err != nil {
				r.Done, r.Err = "", client.Plain(err)
			}
			results = append(results, r)
		}
	}
	return results, nil
}

func contains(ps []int32, p int32) bool {
	for _, have := range ps {
		if have == p {
			return true
		}
	}
	return false
}
