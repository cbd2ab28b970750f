package server

import (
	"context"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/kinesisapi"
)

// awsFront is the front of the AWS APIs, or none where aws.addr is empty.
type awsFront struct{ *kinesisapi.Server }

// openAWS opens the listener of the AWS APIs, if there is to be one.
func openAWS(core *broker.Core, cfg *config.Config, log *zap.Logger) (awsFront, error) {
	if cfg.AWSAddr == "" {
		return awsFront{}, nil
	}
	s, err := kinesisapi.New(core, log)
	if err != nil {
		return awsFront{}, err
	}
	return awsFront{s}, s.Listen()
}

func (f awsFront) serve() {
	if f.Server != nil {
		f.Serve()
	}
}

func (f awsFront) addr() string {
	if f.Server == nil {
		return ""
	}
	return f.Addr()
}

func (f awsFront) shutdown(ctx context.Context) {
	if f.Server != nil {
		f.Shutdown(ctx)
	}
}
