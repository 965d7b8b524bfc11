#!/usr/bin/env bash
# Puts a real Keycloak together, ready for run.sh.
#
#   JAVA=/path/to/java build.sh OUT
#
# JAVA  a runtime of 17 or later; Keycloak prepares itself with it
# OUT   gets the server, prepared for a database in memory
#
# Needs: mvn, python3 (it unpacks the archive).
set -euo pipefail

version=26.7.3
sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f

[ $# = 1 ] && [ -n "${JAVA:-}" ] || { echo "usage: JAVA=/path/to/java build.sh OUT" >&2; exit 2; }
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$out.work
rm -rf "$out" "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

echo "fetching Keycloak $version"
# With the Java that Maven came with: only that one is sure to trust what this machine trusts.
env -u JAVA_HOME mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
  "-Dartifact=org.keycloak:keycloak-quarkus-dist:$version:zip" "-DoutputDirectory=$work"
archive=$work/keycloak-quarkus-dist-$version.zip
echo "$sha256  $archive" | sha256sum -c --quiet -
python3 -m zipfile -e "$archive" "$work"

echo "preparing it"
# In memory: every start begins with nothing, and nothing is left behind.
sh "$work/keycloak-$version/bin/kc.sh" build --db=dev-mem --health-enabled=false >"$work/log" 2>&1 </dev/null ||
  { cat "$work/log" >&2; exit 1; }
mv "$work/keycloak-$version" "$out"
