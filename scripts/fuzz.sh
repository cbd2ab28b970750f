#!/usr/bin/env bash
# Runs every fuzz target for a given time each; go test takes only one at once.
#
#   scripts/fuzz.sh REGEXP FUZZTIME
#
# An input that fails is written by go test under the package's testdata/fuzz:
# commit it with the fix, it is a test from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pattern=$1 fuzztime=$2
failed=() count=0
while IFS=$'\t' read -r package dir; do
  # A package may have no tests at all, which is not an error here.
  targets=$({ sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir"/*_test.go 2>/dev/null || true; } | sort -u)
  for target in $targets; do
    [[ $target =~ $pattern ]] || continue
    count=$((count + 1))
    echo "== $package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$package" || failed+=("$package.$target")
  done
done < <(go list -f '{{.ImportPath}}{{"\t"}}{{.Dir}}' ./...)
if [ ${#failed[@]} -gt 0 ]; then
  echo "fuzz: FAILED: ${failed[*]}" >&2
  exit 1
fi
if [ "$count" -eq 0 ]; then
  echo "fuzz: no fuzz target matches $pattern" >&2
  exit 1
fi
echo "fuzz: $count targets ok"
