package topic

import (
	"errors"
	"regexp"
	"strings"

	"github.com/streamweir/streamweir/broker/config"
)

var throttledReplica = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)

func throttledReplicas() config.Check {
	return config.CheckFunc("PARTITION:BROKER, comma-separated, or *", func(v any) error {
		list := v.([]string)
		if strings.Join(list, "") == "*" {
			return nil
		}
		for _, entry := range list {
			if !throttledReplica.MatchString(entry) {
				return errors.New("must be * or a list of PARTITION:BROKER")
			}
		}
		return nil
	})
}

func notTrue() config.Check {
	return config.CheckFunc("false", func(v any) error {
		if v.(bool) {
			return errors.New("tiered storage is not available on this server")
		}
		return nil
	})
}
