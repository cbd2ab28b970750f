package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/kafkaapi"
	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/badgerstore"
)

// admin serves /healthz, /readyz and /metrics.
//
// /healthz is 503 when the storage has failed and only a restart can help, with
// the reason; otherwise 200. A full disk is no reason for a restart: reads go on
// and writes resume by themselves, so the answer stays 200 and says so, as it does
// for partitions whose compaction has failed.
//
// /readyz is 200 when clients are served: not before the start is over, not
// with a failed storage, and not any more once the server stops.
type admin struct {
	log      *zap.Logger
	limits   adminLimits
	http     *http.Server
	listener net.Listener
	registry *prometheus.Registry
	wg       sync.WaitGroup

	core  atomic.Pointer[broker.Core]
	ended atomic.Bool
}

func newAdmin(log *zap.Logger, limits adminLimits) *admin {
	a := &admin{log: log, limits: limits, registry: prometheus.NewRegistry()}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", limits.answering(http.HandlerFunc(a.healthz)))
	mux.Handle("GET /readyz", limits.answering(http.HandlerFunc(a.readyz)))
	mux.Handle("GET /metrics", limits.answering(promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})))
	// Profiles for whoever may reach the admin address: `go tool pprof
	// http://127.0.0.1:9644/debug/pprof/profile`.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	a.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: limits.header, ReadTimeout: limits.request,
		WriteTimeout: limits.profile, IdleTimeout: limits.idle, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(log),
	}
	return a
}

func (a *admin) listen(cfg *config.Config) error {
	l, err := adminEndpoint(cfg).listen(cfg.DataDir)
	if err != nil {
		return err
	}
	limited := limitListener(l, a.limits.conns)
	a.listener, a.http.ConnState = limited, limited.onState
	a.wg.Add(1)
	go func() {
		defer a.wg.Done()
		if err := a.http.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("the admin endpoints have stopped", zap.Error(err))
		}
	}()
	return nil
}

func (a *admin) addr() string { return a.listener.Addr().String() }

// ready says that clients are served, and adds the metrics of the parts.
func (a *admin) ready(core *broker.Core, store *badgerstore.Store, kafka *kafkaapi.Server, aws awsFront) {
	a.registry.MustRegister(kafka, coreMetrics{core}, groupMetrics{core}, txnMetrics{core}, compactionMetrics{core}, streamMetrics{core}, storeMetrics{store, core})
	if aws.Server != nil {
		a.registry.MustRegister(aws, quota.NewCollector(core.Quotas, core.ShardMetrics))
	}
	a.core.Store(core)
}

func (a *admin) stopping() { a.ended.Store(true) }

func (a *admin) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.http.Shutdown(ctx) != nil {
		a.http.Close()
	}
	a.wg.Wait()
}

func (a *admin) healthz(w http.ResponseWriter, _ *http.Request) {
	var err error
	var uncleanable []error
	if core := a.core.Load(); core != nil {
		err = core.Health()
		uncleanable = core.Partitions.CompactionStats().Uncleanable
	}
	switch {
	case err == nil && len(uncleanable) > 0:
		fmt.Fprintf(w, "ok, but %d partitions are not compacted until the next start; the first: %v\n", len(uncleanable), uncleanable[0])
	case err == nil:
		fmt.Fprintln(w, "ok")
	case errors.Is(err, storage.ErrNoSpace):
		fmt.Fprintf(w, "ok, but produce requests are refused: %v\n", err)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func (a *admin) readyz(w http.ResponseWriter, r *http.Request) {
	switch {
	case a.core.Load() == nil:
		http.Error(w, "starting", http.StatusServiceUnavailable)
	case a.ended.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	default:
		a.healthz(w, r)
	}
}
