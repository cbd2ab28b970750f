package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Validate checks what concerns more than one setting, and those whose form is
// more than a type and a range. It returns all that is wrong.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if _, err := c.AdvertisedSpecs(); err != nil { // checks the listeners first
		errs = append(errs, err)
	}
	if _, err := c.ConnectionsPerIP(); err != nil {
		errs = append(errs, err)
	}
	if _, _, err := net.SplitHostPort(c.AdminListener); err != nil {
		errs = append(errs, fmt.Errorf("admin.listener: %q is not of the form HOST:PORT", c.AdminListener))
	}
	if _, _, err := net.SplitHostPort(c.AWSAddr); err != nil && c.AWSAddr != "" {
		errs = append(errs, fmt.Errorf("aws.addr: %q is not of the form HOST:PORT", c.AWSAddr))
	}
	wrong((c.AWSTLSCertificateFile == "") != (c.AWSTLSKeyFile == ""),
		"aws.tls.certificate.file and aws.tls.key.file must be given together")
	wrong(c.AWSQueuedMaxBytes < 4*int64(c.AWSRequestMaxBytes),
		"aws.queued.max.bytes (%d) is below four times aws.request.max.bytes (%d): a few large requests would hold up all others; raise the one or lower the other",
		c.AWSQueuedMaxBytes, c.AWSRequestMaxBytes)
	wrong(c.QueuedMaxRequestBytes < int64(c.SocketRequestMaxBytes),
		"queued.max.request.bytes (%d) is below socket.request.max.bytes (%d): the largest request would wait for ever; raise the one or lower the other",
		c.QueuedMaxRequestBytes, c.SocketRequestMaxBytes)
	wrong(c.MessageMaxBytes > c.SocketRequestMaxBytes,
		"message.max.bytes (%d) is above socket.request.max.bytes (%d): no request could carry such a batch",
		c.MessageMaxBytes, c.SocketRequestMaxBytes)
	wrong(c.GroupMinSessionTimeoutMs > c.GroupMaxSessionTimeoutMs,
		"group.min.session.timeout.ms (%d) is above group.max.session.timeout.ms (%d)",
		c.GroupMinSessionTimeoutMs, c.GroupMaxSessionTimeoutMs)
	wrong(c.LogCleanerMinCompactionLagMs > c.LogCleanerMaxCompactionLagMs,
		"log.cleaner.min.compaction.lag.ms (%d) is above log.cleaner.max.compaction.lag.ms (%d)",
		c.LogCleanerMinCompactionLagMs, c.LogCleanerMaxCompactionLagMs)
	for _, r := range []struct {
		name  string
		value int64
	}{
		{"log.retention.ms", deref(c.LogRetentionMs)},
		{"log.retention.minutes", int64(deref(c.LogRetentionMinutes))},
		{"log.retention.hours", int64(c.LogRetentionHours)},
	} {
		wrong(r.value == 0, "%s is 0, which would keep nothing: give a time, or -1 for no limit", r.name)
	}
	wrong(c.NumPartitions > c.MaxPartitions, "num.partitions (%d) is above max.partitions (%d)", c.NumPartitions, c.MaxPartitions)
	return errors.Join(errs...)
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
