#!/usr/bin/env bash
# Lint: gofmt, go vet, staticcheck (pinned as a tool in go.mod) and the rules of
# this repository (internal/lint). Runs all of them, then fails if any did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0

unformatted=$(git ls-files -z --cached --others --exclude-standard -- '*.go' |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  xargs -0 -r gofmt -l)
if [ -n "$unformatted" ]; then
  echo "lint: not formatted (type: gofmt -w FILE):" >&2
  sed 's/^/  /' <<<"$unformatted" >&2
  failed=1
fi

go vet ./... || failed=1
# Run by itself: go tool says that all is well where its program was killed.
staticcheck=$(go tool -n staticcheck)
"$staticcheck" ./... || failed=1
# What only builds with the tag faults have: the tests of the history checker.
go vet -tags faults ./storage/faultstore ./cmd/streamweir/... || failed=1
"$staticcheck" -tags faults ./storage/faultstore ./cmd/streamweir/internal/server || failed=1
go test ./internal/lint || failed=1

if [ "$failed" -ne 0 ]; then
  echo "lint: failed" >&2
  exit 1
fi
echo "lint: ok"
