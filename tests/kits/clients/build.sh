#!/usr/bin/env bash
# Installs the official clients, each in a folder of its own: two versions of one do not fit into one.
#
#   PIP=/path/to/pip build.sh OUT
set -euo pipefail

[ $# -eq 1 ] && [ -n "${PIP:-}" ] || { echo "usage: PIP=/path/to/pip build.sh OUT" >&2; exit 2; }
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rm -rf "$1"
mkdir -p "$1"
out=$(cd "$1" && pwd)

python() {
  "$PIP" install --quiet --no-cache-dir --disable-pip-version-check --only-binary=:all: \
    --target "$out/$1" "$2"
}
python elasticsearch-8 elasticsearch==8.19.3
python elasticsearch-9 elasticsearch==9.5.1
python opensearch opensearch-py==3.2.0

cp "$kit/package.json" "$kit/package-lock.json" "$out/"
# What the lock file says and nothing else, and no package's own script runs.
(cd "$out" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
