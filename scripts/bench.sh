#!/usr/bin/env bash
# Go benchmarks with bytes and allocations, only in packages that have some.
#
#   scripts/bench.sh BENCH COUNT BENCHTIME PACKAGES
#
# Output is go test's own, so two runs can be put side by side with benchstat.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bench=$1 count=$2 benchtime=$3 pattern=$4

packages=()
while IFS=$'\t' read -r package dir; do
  if grep -qs '^func Benchmark' "$dir"/*_test.go; then packages+=("$package"); fi
done < <(go list -f '{{.ImportPath}}{{"\t"}}{{.Dir}}' "$pattern")
if [ ${#packages[@]} -eq 0 ]; then
  echo "bench: no benchmarks in $pattern" >&2
  exit 1
fi
# -p 1: packages one after the other, or they would take each other's CPU.
exec go test -p 1 -run '^$' -bench "$bench" -benchmem -count "$count" -benchtime "$benchtime" -timeout 60m "${packages[@]}"
