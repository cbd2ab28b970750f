#!/usr/bin/env bash
# Runs the named parts of the test suite, all of them even when one fails, then
# says which failed. Unit tests are every package but integration/.
#
#   scripts/test.sh lint|unit|integration...
#
# The integration tests find the binary under test in STREAMWEIR_BIN, built with
# the race detector, and in STREAMWEIR_PLAIN_BIN the same without it, for tests
# that measure. What is not set already is built here.
# UNIT_TIMEOUT and INTEGRATION_TIMEOUT bound each package's tests.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

unit() {
  local packages
  packages=$(go list ./... | grep -v '/integration\(/\|$\)')
  # shellcheck disable=SC2086 # one argument for each package
  CGO_ENABLED=1 go test -race -timeout "${UNIT_TIMEOUT:-8m}" $packages
}

integration() {
  if [ -z "${STREAMWEIR_BIN:-}" ]; then
    make --no-print-directory build-race
    export STREAMWEIR_BIN=$root/bin/streamweir-race
  fi
  if [ -z "${STREAMWEIR_PLAIN_BIN:-}" ]; then
    make --no-print-directory build
    export STREAMWEIR_PLAIN_BIN=$root/bin/streamweir
  fi
  # -count=1: go test does not see that the binary under test has changed.
  # -p 3: these tests wait for servers and clients more than they compute.
  CGO_ENABLED=1 go test -race -count=1 -p 3 -timeout "${INTEGRATION_TIMEOUT:-14m}" ./integration/...
}

lint() { scripts/lint.sh; }

failed=()
for part in "$@"; do
  case $part in
    lint | unit | integration) ;;
    *)
      echo "test: unknown part \"$part\"; known are lint, unit and integration" >&2
      exit 2
      ;;
  esac
  echo "== $part"
  began=$SECONDS
  # A subshell of its own: inside `if`, set -e would not hold in the function.
  set +e
  (set -e; "$part")
  code=$?
  set -e
  [ "$code" -eq 0 ] || failed+=("$part")
  echo "== $part: $([ "$code" -eq 0 ] && echo ok || echo FAILED) after $((SECONDS - began)) s"
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "test: FAILED: ${failed[*]}" >&2
  exit 1
fi
echo "test: ok"
