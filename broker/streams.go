package broker

import (
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/stream"
)

// openStreams starts the life of streams, which goes on where the last start left it.
func (c *Core) openStreams(cfg *config.Config) {
	c.Streams = stream.Open(stream.Options{
		Topics: c.Topics, Partitions: c.Partitions, Meta: c.store.Meta(), Delete: c.deleteStream,
		Account: cfg.AWSAccountID, Region: cfg.AWSRegion, Clock: coordinator.SystemClock{}, Log: c.log,
	})
}
