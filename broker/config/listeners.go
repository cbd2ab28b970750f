package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Protocol is a security protocol of a listener, by Kafka's name for it.
type Protocol string

// The security protocols of Kafka. Only Plaintext is served so far.
const (
	Plaintext     Protocol = "PLAINTEXT"
	SSL           Protocol = "SSL"
	SaslPlaintext Protocol = "SASL_PLAINTEXT"
	SaslSSL       Protocol = "SASL_SSL"
)

// Listener is one entry of listeners or advertised.listeners.
type Listener struct {
	Name     string
	Host     string // empty for every address
	Port     int    // 0 for any free one
	Protocol Protocol
}

// Addr is the listener's address as net.Listen takes it.
func (l Listener) Addr() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

func (l Listener) String() string { return l.Name + "://" + l.Addr() }

// ListenerSpecs returns the listeners to serve, in their order.
func (c *Config) ListenerSpecs() ([]Listener, error) {
	protocols, err := protocolMap(c.ListenerSecurityProtocolMap)
	if err != nil {
		return nil, err
	}
	ls, errs := parseListeners("listeners", c.Listeners, protocols)
	if len(c.Listeners) == 0 {
		errs = append(errs, fmt.Errorf("listeners is empty: give at least one, like PLAINTEXT://127.0.0.1:9092"))
	}
	for i, l := range ls {
		if l.Protocol != Plaintext {
			errs = append(errs, fmt.Errorf("listener %s: the security protocol %s is not served yet: use PLAINTEXT", l.Name, l.Protocol))
		}
		for _, other := range ls[:i] {
			if l.clashes(other.Host, other.Port) {
				errs = append(errs, fmt.Errorf("listeners %s and %s both use port %d: give each its own", other, l, l.Port))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return ls, nil
}

// clashes says whether the listener cannot stand beside one on host and port:
// they have a port in common, and not two different addresses.
func (l Listener) clashes(host string, port int) bool {
	if l.Port == 0 || l.Port != port {
		return false
	}
	one, two := net.ParseIP(l.Host), net.ParseIP(host)
	return one == nil || two == nil || anyAddress(l.Host) || anyAddress(host) || one.Equal(two)
}

// listenerProblems adds what is wrong with the addresses.
func (c *Config) listenerProblems(add func(err error, settings ...string)) {
	_, err := c.ListenerSpecs()
	add(err, "listeners", "listener.security.protocol.map")
	if _, e := c.advertised(); e != nil {
		add(e, "advertised.listeners", "listener.security.protocol.map")
	} else if err == nil {
		_, e := c.AdvertisedSpecs()
		add(e, "advertised.listeners", "listeners")
	}
	c.addressProblems("admin.listener", c.AdminListener, add)
}

// addressProblems looks for what is wrong with the address of another setting:
// its form, and that it stands beside the listeners.
func (c *Config) addressProblems(name, addr string, add func(err error, settings ...string)) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		add(fmt.Errorf("%s: %q is not of the form HOST:PORT", name, addr), name)
		return
	}
	n, err := parsePort(port)
	if err != nil {
		add(fmt.Errorf("%s: the port of %q must be between 0 and 65535", name, addr), name)
	}
	listeners, _ := c.ListenerSpecs() // what is wrong with those is told by themselves
	if name != "admin.listener" {
		if h, p, err := net.SplitHostPort(c.AdminListener); err == nil {
			if n, err := parsePort(p); err == nil {
				listeners = append(listeners, Listener{Name: "admin.listener", Host: h, Port: n})
			}
		}
	}
	for _, l := range listeners {
		if l.clashes(host, n) {
			add(fmt.Errorf("%s (%s) and the listener %s both use port %d: give each its own", name, addr, l, n), name, "listeners")
		}
	}
}

// AdvertisedSpecs returns what clients are told to connect to: one entry for
// each listener, in the order of the listeners. A port of 0 stands for the port
// that the listener of that name got.
func (c *Config) AdvertisedSpecs() ([]Listener, error) {
	listeners, err := c.ListenerSpecs()
	if err != nil {
		return nil, err
	}
	var errs []error
	if len(c.AdvertisedListeners) == 0 {
		for _, l := range listeners {
			if anyAddress(l.Host) {
				errs = append(errs, fmt.Errorf("listener %s accepts connections on every address, so clients cannot be told where to connect: set advertised.listeners, like %s://HOST:%d", l, l.Name, l.Port))
			}
		}
		return listeners, errors.Join(errs...)
	}
	given, err := c.advertised()
	if err != nil {
		return nil, err
	}
	out := make([]Listener, 0, len(listeners))
	for _, l := range listeners {
		i := slices.IndexFunc(given, func(a Listener) bool { return a.Name == l.Name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("advertised.listeners has no entry for listener %s", l.Name))
			continue
		}
		out = append(out, given[i])
		given = slices.Delete(given, i, i+1)
	}
	for _, a := range given {
		errs = append(errs, fmt.Errorf("advertised.listeners names %s, which is not in listeners", a.Name))
	}
	return out, errors.Join(errs...)
}

// advertised parses advertised.listeners by itself.
func (c *Config) advertised() ([]Listener, error) {
	protocols, err := protocolMap(c.ListenerSecurityProtocolMap)
	if err != nil {
		return nil, nil // told of the listeners
	}
	given, errs := parseListeners("advertised.listeners", c.AdvertisedListeners, protocols)
	for _, a := range given {
		if anyAddress(a.Host) {
			errs = append(errs, fmt.Errorf("advertised.listeners: %s names no host that a client can connect to", a))
		}
	}
	return given, errors.Join(errs...)
}

func anyAddress(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// parseListeners returns the entries that are right, and what is wrong with the
// others.
func parseListeners(key string, list []string, protocols map[string]Protocol) (out []Listener, errs []error) {
	for _, part := range list {
		l, err := parseListener(part, protocols)
		if err == nil && slices.ContainsFunc(out, func(o Listener) bool { return o.Name == l.Name }) {
			err = fmt.Errorf("%s stands there twice", l.Name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
			continue
		}
		out = append(out, l)
	}
	return out, errs
}

func parseListener(text string, protocols map[string]Protocol) (Listener, error) {
	name, addr, ok := strings.Cut(text, "://")
	host, portText, err := net.SplitHostPort(addr)
	if !ok || name == "" || err != nil {
		return Listener{}, fmt.Errorf("%q is not of the form NAME://HOST:PORT", text)
	}
	port, err := parsePort(portText)
	if err != nil {
		return Listener{}, fmt.Errorf("the port of %q must be between 0 and 65535", text)
	}
	name = strings.ToUpper(name)
	protocol, ok := protocols[name]
	if !ok {
		return Listener{}, fmt.Errorf("listener.security.protocol.map has no protocol for the listener name %s", name)
	}
	return Listener{Name: name, Host: host, Port: port, Protocol: protocol}, nil
}

func parsePort(text string) (int, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	return int(port), err
}

func protocolMap(text string) (map[string]Protocol, error) {
	m := map[string]Protocol{}
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, protocol, ok := strings.Cut(part, ":")
		name = strings.ToUpper(strings.TrimSpace(name))
		p := Protocol(strings.ToUpper(strings.TrimSpace(protocol)))
		if !ok || name == "" {
			return nil, fmt.Errorf("listener.security.protocol.map: %q is not of the form NAME:PROTOCOL", part)
		}
		switch p {
		case Plaintext, SSL, SaslPlaintext, SaslSSL:
		default:
			return nil, fmt.Errorf("listener.security.protocol.map: %q is no security protocol: use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", protocol)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("listener.security.protocol.map names %s twice", name)
		}
		m[name] = p
	}
	return m, nil
}
