// Package server puts the parts of the server together, starts them in order
// and stops them in the other.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/kafkaapi"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/storage/badgerstore"
)

// drainTime is how long clients get to finish what they have begun when the
// server stops.
const drainTime = 20 * time.Second

// Run serves until ctx ends, and returns when everything has stopped.
func Run(ctx context.Context, cfg *config.Config, warnings []string, version string) (err error) {
	log, err := newLogger(cfg)
	if err != nil {
		return err
	}
	defer log.Sync()
	started := time.Now()
	for _, w := range warnings {
		log.Warn(w)
	}
	// The admin address answers first, so that whoever watches the start sees
	// it: /healthz at once, /readyz when clients are served.
	adm := newAdmin(log, defaultAdminLimits())
	if err := adm.listen(cfg); err != nil {
		return err
	}
	defer adm.close()
	if err := checkPorts(cfg); err != nil {
		return err
	}

	opened, err := badgerstore.Open(badgerstore.Options{
		Dir: cfg.DataDir, SyncAlways: cfg.StorageSync == "always",
		ReserveBytes: cfg.StorageReserveBytes, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("open the data directory %s: %w", cfg.DataDir, err)
	}
	store, err := plant(opened)
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	defer func() {
		if e := store.Close(); e != nil && err == nil {
			err = fmt.Errorf("close the data directory %s: %w", cfg.DataDir, e)
		}
	}()
	core, err := broker.Open(store, cfg, log)
	if err != nil {
		return err
	}
	defer core.Close()
	kafka, err := kafkaapi.New(core, log)
	if err != nil {
		return err
	}
	if err := kafka.Listen(); err != nil {
		return err
	}
	aws, err := openAWS(core, cfg, log)
	if err != nil {
		kafka.Shutdown(ctx)
		return err
	}
	kafka.Serve()
	aws.serve()
	adm.ready(core, opened, kafka, aws)
	log.Info("ready",
		zap.String("version", version), zap.String("kafka_addr", kafka.Addrs()[0]),
		zap.Strings("kafka_addrs", kafka.Addrs()), zap.String("aws_addr", aws.addr()), zap.String("admin_addr", adm.addr()),
		zap.String("data_dir", cfg.DataDir), zap.String("sync", cfg.StorageSync),
		zap.String("cluster_id", core.Topics.ClusterID()), zap.Int32("leader_epoch", core.Partitions.Epoch()),
		zap.Duration("took", time.Since(started)))

	<-ctx.Done()
	log.Info("stopping", zap.Duration("drain_time", drainTime))
	adm.stopping()
	drain, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	core.Resign()
	var fronts sync.WaitGroup
	fronts.Go(func() { kafka.Shutdown(drain) })
	fronts.Go(func() { aws.shutdown(drain) })
	fronts.Wait()
	log.Info("stopped")
	return nil
}

// newLogger logs to stderr: for people on a terminal, as JSON lines otherwise,
// unless logging.format says which.
func newLogger(cfg *config.Config) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.LoggingLevel)
	if err != nil {
		return nil, fmt.Errorf("logging.level: %w", err)
	}
	encoder := logEncoder(cfg.LoggingFormat, output.IsTerminal(os.Stderr), output.Colours(os.Stderr))
	core := zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), level)
	// A client that does the same wrong thing over and over must not fill the
	// log: of equal messages only the first few of each second are kept.
	core = zapcore.NewSamplerWithOptions(core, time.Second, sameMessages, sameMessagesThen)
	return zap.New(core), nil
}

// logEncoder writes messages as logging.format says.
func logEncoder(format string, terminal, colours bool) zapcore.Encoder {
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	if format != "console" && (format != "auto" || !terminal) {
		return zapcore.NewJSONEncoder(enc)
	}
	enc.EncodeLevel = zapcore.CapitalLevelEncoder
	if colours {
		enc.EncodeLevel = zapcore.CapitalColorLevelEncoder
	}
	return zapcore.NewConsoleEncoder(enc)
}

// Of messages with the same text, this many are logged in each second, and then
// one in so many.
const (
	sameMessages     = 20
	sameMessagesThen = 1000
)
