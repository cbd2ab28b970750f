#!/usr/bin/env bash
# Installs the Kinesis emulators of make bench-compare-kinesis, as pinned in
# integration/bench/kinesis/emulators, unless they are there already.
#
#   scripts/kinesis-emulators.sh DIRECTORY
set -euo pipefail
pinned=$(cd "$(dirname "${BASH_SOURCE[0]}")/../integration/bench/kinesis/emulators" && pwd)
dir=${1:?"usage: scripts/kinesis-emulators.sh DIRECTORY"}

# npm writes this file last; it tells which lock file was installed.
if [ -e "$dir/node_modules/.package-lock.json" ] && cmp -s "$pinned/package-lock.json" "$dir/package-lock.json"; then
  exit 0
fi
mkdir -p "$dir"
cp "$pinned/package.json" "$pinned/package-lock.json" "$dir/"
# LevelDB comes built, so no package needs to run a script of its own.
npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error
