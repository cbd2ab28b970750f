package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Validate checks what concerns more than one setting, and those whose form is
// more than a type and a range. It returns all that is wrong.
func (c *Config) Validate() error {
	var errs []error
	for _, p := range c.problems() {
		errs = append(errs, p.err)
	}
	return errors.Join(errs...)
}

// problem is something that is wrong with settings, each of which has a valid
// value by itself.
type problem struct {
	settings []string
	err      error
}

func (c *Config) problems() []problem {
	var all []problem
	add := func(err error, settings ...string) {
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range several.Unwrap() {
				all = append(all, problem{settings, e})
			}
		} else if err != nil {
			all = append(all, problem{settings, err})
		}
	}
	c.listenerProblems(add)
	c.awsProblems(add)
	_, err := c.ConnectionsPerIP()
	add(err, "max.connections.per.ip.overrides")
	above := func(name string, value int64, limit string, most int64, why string) {
		if value > most {
			add(fmt.Errorf("%s (%d) is above %s (%d)%s", name, value, limit, most, why), name, limit)
		}
	}
	if c.QueuedMaxRequestBytes < int64(c.SocketRequestMaxBytes) {
		add(fmt.Errorf("queued.max.request.bytes (%d) is below socket.request.max.bytes (%d): the largest request would wait for ever; raise the one or lower the other",
			c.QueuedMaxRequestBytes, c.SocketRequestMaxBytes), "queued.max.request.bytes", "socket.request.max.bytes")
	}
	above("message.max.bytes", int64(c.MessageMaxBytes), "socket.request.max.bytes", int64(c.SocketRequestMaxBytes), ": no request could carry such a batch")
	above("group.min.session.timeout.ms", int64(c.GroupMinSessionTimeoutMs), "group.max.session.timeout.ms", int64(c.GroupMaxSessionTimeoutMs), "")
	above("log.cleaner.min.compaction.lag.ms", c.LogCleanerMinCompactionLagMs, "log.cleaner.max.compaction.lag.ms", c.LogCleanerMaxCompactionLagMs, "")
	above("num.partitions", int64(c.NumPartitions), "max.partitions", int64(c.MaxPartitions), "")
	for name, value := range map[string]int64{
		"log.retention.ms":      deref(c.LogRetentionMs),
		"log.retention.minutes": int64(deref(c.LogRetentionMinutes)),
		"log.retention.hours":   int64(c.LogRetentionHours),
	} {
		if value == 0 {
			add(fmt.Errorf("%s is 0, which would keep nothing: give a time, or -1 for no limit", name), name)
		}
	}
	slices.SortStableFunc(all, func(a, b problem) int { return strings.Compare(a.settings[0], b.settings[0]) })
	return all
}

// deref returns what p points to, or -1 for nothing.
func deref[T int32 | int64](p *T) T {
	if p == nil {
		return -1
	}
	return *p
}

// ConnectionsPerIP returns the exceptions from max.connections.per.ip by IP
// address in its usual text form.
func (c *Config) ConnectionsPerIP() (map[string]int, error) {
	out := map[string]int{}
	for _, part := range strings.Split(c.MaxConnectionsPerIPOverrides, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		i := strings.LastIndexByte(part, ':')
		if i < 0 {
			return nil, fmt.Errorf("max.connections.per.ip.overrides: %q is not of the form ADDRESS:COUNT", part)
		}
		ip := net.ParseIP(strings.Trim(part[:i], "[]"))
		n, err := strconv.Atoi(part[i+1:])
		if ip == nil || err != nil || n < 0 {
			return nil, fmt.Errorf("max.connections.per.ip.overrides: %q is not of the form ADDRESS:COUNT with an IP address and a count of at least 0", part)
		}
		out[ip.String()] = n
	}
	return out, nil
}
