package config

import (
	"fmt"
	"net"
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
	ls, err := parseListeners("listeners", c.Listeners, protocols)
	if err != nil {
		return nil, err
	}
	if len(ls) == 0 {
		return nil, fmt.Errorf("listeners is empty: give at least one, like PLAINTEXT://127.0.0.1:9092")
	}
	ports := map[string]string{}
	for _, l := range ls {
		if l.Protocol != Plaintext {
			return nil, fmt.Errorf("listener %s: the security protocol %s is not served yet: use PLAINTEXT", l.Name, l.Protocol)
		}
		if other, taken := ports[l.Addr()]; taken && l.Port != 0 {
			return nil, fmt.Errorf("listeners %s and %s both use %s: give each its own port", other, l.Name, l.Addr())
		}
		ports[l.Addr()] = l.Name
	}
	return ls, nil
}

// AdvertisedSpecs returns what clients are told to connect to: one entry for
// each listener, in the order of the listeners. A port of 0 stands for the port
// that the listener of that name got.
func (c *Config) AdvertisedSpecs() ([]Listener, error) {
	listeners, err := c.ListenerSpecs()
	if err != nil {
		return nil, err
	}
	if len(c.AdvertisedListeners) == 0 {
		for _, l := range listeners {
			if anyAddress(l.Host) {
				return nil, fmt.Errorf("listener %s accepts connections on every address, so clients cannot be told where to connect: set advertised.listeners, like %s://HOST:%d", l, l.Name, l.Port)
			}
		}
		return listeners, nil
	}
	protocols, err := protocolMap(c.ListenerSecurityProtocolMap)
	if err != nil {
		return nil, err
	}
	given, err := parseListeners("advertised.listeners", c.AdvertisedListeners, protocols)
	if err != nil {
		return nil, err
	}
	byName := map[string]Listener{}
	for _, a := range given {
		if anyAddress(a.Host) {
			return nil, fmt.Errorf("advertised.listeners: %s names no host that a client can connect to", a)
		}
		byName[a.Name] = a
	}
	out := make([]Listener, 0, len(listeners))
	for _, l := range listeners {
		a, ok := byName[l.Name]
		if !ok {
			return nil, fmt.Errorf("advertised.listeners has no entry for listener %s", l.Name)
		}
		delete(byName, l.Name)
		out = append(out, a)
	}
	for name := range byName {
		return nil, fmt.Errorf("advertised.listeners names %s, which is not in listeners", name)
	}
	return out, nil
}

func anyAddress(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func parseListeners(key string, list []string, protocols map[string]Protocol) ([]Listener, error) {
	var out []Listener
	names := map[string]bool{}
	for _, part := range list {
		name, addr, ok := strings.Cut(part, "://")
		if !ok || name == "" {
			return nil, fmt.Errorf("%s: %q is not of the form NAME://HOST:PORT", key, part)
		}
		name = strings.ToUpper(name)
		host, portText, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not of the form NAME://HOST:PORT", key, part)
		}
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%s: the port of %q must be between 0 and 65535", key, part)
		}
		protocol, ok := protocols[name]
		if !ok {
			return nil, fmt.Errorf("%s: listener.security.protocol.map has no protocol for the listener name %s", key, name)
		}
		if names[name] {
			return nil, fmt.Errorf("%s names %s twice", key, name)
		}
		names[name] = true
		out = append(out, Listener{Name: name, Host: host, Port: int(port), Protocol: protocol})
	}
	return out, nil
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
