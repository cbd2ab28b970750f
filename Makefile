# Everything a person or a CI machine does with this repository. `make help` lists it.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# The version comes from git above, so that a build does not depend on what
# the go command makes of the checkout.
BUILD   := go build -trimpath -buildvcs=false
MAIN    := ./cmd/streamweir
TARGETS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

# make run
ARGS ?=
# make bench: which benchmarks, how often, how long each, in which packages.
BENCH     ?= .
COUNT     ?= 1
BENCHTIME ?= 1s
PKG       ?= ./...
# make bench-compare, bench-compare-kinesis: flags of integration/bench/compare and
# integration/bench/kinesis (-h lists them).
COMPARE ?=
# make test-kgo: which of kgo's tests, and how many records its chains of consumers move.
KGO     ?= .
RECORDS ?= 100000
# make test-kinesis: how many records an application of the Kinesis Client Library processes, and which tests.
KCL_RECORDS ?= 100000
KINESIS     ?= .
# make check-history: how long, which choices, and further flags of
# integration/history (-h lists them).
MINUTES ?= 2
SEED    ?= 1
HISTORY ?=
# make fuzz: time for each target, and which targets.
FUZZTIME ?= 20s
FUZZ     ?= .

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build and start the server (ARGS="--set storage.sync=os" adds flags)
	exec bin/streamweir serve $(ARGS)

.PHONY: build
build: ## One static binary: bin/streamweir
	CGO_ENABLED=0 $(BUILD) -ldflags '$(LDFLAGS)' -o bin/streamweir $(MAIN)

.PHONY: build-race
build-race: ## The same with the race detector, for tests: bin/streamweir-race
	CGO_ENABLED=1 $(BUILD) -race -ldflags '-X main.version=$(VERSION)' -o bin/streamweir-race $(MAIN)

.PHONY: build-all
build-all: ## Binaries for Linux and macOS on amd64 and arm64: dist/
	@for target in $(TARGETS); do \
	  os=$${target%/*} arch=$${target#*/}; \
	  echo "dist/streamweir-$$os-$$arch"; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(BUILD) -ldflags '$(LDFLAGS)' \
	    -o dist/streamweir-$$os-$$arch $(MAIN); \
	done

.PHONY: deps
deps: ## Install what the tests need, or say what is missing and what to type
	@scripts/deps.sh

.PHONY: lint
lint: ## gofmt, go vet, staticcheck and the rules of this repository
	@scripts/lint.sh

.PHONY: test
test: deps ## Everything: lint, unit tests, tests against the built binary, all with the race detector
	@scripts/test.sh lint unit integration

.PHONY: test-unit
test-unit: ## Unit tests only
	@scripts/test.sh unit

.PHONY: test-integration
test-integration: deps ## Only the tests that drive the built binary
	@scripts/test.sh integration

.PHONY: test-kgo
test-kgo: build-race ## All tests of franz-go's client package against the built binary (KGO=regexp RECORDS=100000)
	STREAMWEIR_BIN='$(CURDIR)/bin/streamweir-race' STREAMWEIR_TEST_KGO='$(KGO)' STREAMWEIR_TEST_KGO_RECORDS='$(RECORDS)' \
	  go test -count=1 -v -timeout 90m ./integration/kgo

.PHONY: test-kinesis
test-kinesis: deps build-race ## The tests with Kinesis clients at full size (KINESIS=regexp KCL_RECORDS=100000)
	STREAMWEIR_BIN='$(CURDIR)/bin/streamweir-race' STREAMWEIR_TEST_KCL_RECORDS='$(KCL_RECORDS)' \
	  go test -count=1 -v -timeout 60m -run '$(KINESIS)' ./integration/kinesis ./integration/kinesisjava

.PHONY: bench
bench: ## Go benchmarks with bytes and allocations (BENCH=regexp COUNT=n BENCHTIME=1s PKG=./...)
	@scripts/bench.sh '$(BENCH)' '$(COUNT)' '$(BENCHTIME)' '$(PKG)'

.PHONY: bench-compare
bench-compare: build ## Streamweir beside Apache Kafka and kfake, one table (COMPARE="-h" lists its flags)
	@scripts/deps.sh java
	@$(BUILD) -o bin/bench-compare ./integration/bench/compare
	@exec bin/bench-compare $(COMPARE)

.PHONY: bench-compare-kinesis
bench-compare-kinesis: build ## The Kinesis API beside kinesalite and kinesis-local, one table (COMPARE="-h")
	@scripts/deps.sh node
	@scripts/kinesis-emulators.sh bin/kinesis-emulators
	@$(BUILD) -o bin/bench-compare-kinesis ./integration/bench/kinesis
	@exec bin/bench-compare-kinesis -emulators bin/kinesis-emulators $(COMPARE)

.PHONY: check-history
check-history: build ## Search a history of clients and faults for broken promises (MINUTES=60 SEED=1 HISTORY="-h")
	@$(BUILD) -o bin/check-history ./integration/history
	@exec bin/check-history -minutes $(MINUTES) -seed $(SEED) $(HISTORY)

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (FUZZ=regexp FUZZTIME=20s)
	@scripts/fuzz.sh '$(FUZZ)' '$(FUZZTIME)'

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist
