#!/usr/bin/env bash
# Runs one real Elasticsearch node with security on, in the foreground, on the loopback address only.
#
#   JAVA=/path/to/java ELASTIC_PASSWORD=... run.sh OUT HOME [key=value]...
#
# OUT        what build.sh made
# HOME       data and configuration of this node; users and keys live on from start to start
# key=value  node settings, for example http.port=9200 (default: any free port)
#
# Prints `node started, http on port N` once it listens. A signal ends it; so does the end of its stdin where
# KIT_EPHEMERAL=1 is set, and then its HOME is removed too: nothing outlives the program that holds the other end.
#
# KIT_HEAP      size of the heap, default 384m
# ES_JIT_LEVEL  default 4 as in production; 1 starts faster and is right where nothing is measured
set -euo pipefail

[ $# -ge 2 ] && [ -n "${JAVA:-}" ] && [ -n "${ELASTIC_PASSWORD:-}" ] || {
  echo "usage: JAVA=/path/to/java ELASTIC_PASSWORD=... run.sh OUT HOME [key=value]..." >&2
  exit 2
}
out=$1
mkdir -p "$2/config"
home=$(cd "$2" && pwd)
shift 2

settings=(
  cluster.name=elastauth-tests node.name=node1 node.roles=master,data,ingest
  network.host=127.0.0.1 http.port=0 transport.port=0 discovery.type=single-node
  xpack.security.enabled=true xpack.security.autoconfiguration.enabled=false
  # A full disk of the machine at hand is not what is tested.
  cluster.routing.allocation.disk.threshold_enabled=false
)
cache=()
if [ -n "${KIT_AOT:-}" ]; then
  read -ra cache <<<"$KIT_AOT"
elif [ -s "$out/node.aot" ]; then
  cache=("-XX:AOTCache=$out/node.aot" -Xlog:aot*=off -Xlog:cds*=off)
fi
heap=${KIT_HEAP:-384m}
class_path=$out/node.jar:$(printf '%s:' "$out"/lib/*.jar)
# The order of the jars is the glob's: sorted, as the cache demands the same order each time.
exec "$JAVA" "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC "-XX:TieredStopAtLevel=${ES_JIT_LEVEL:-4}" -XX:+ExitOnOutOfMemoryError \
  --enable-native-access=ALL-UNNAMED -Djava.security.egd=file:/dev/urandom "-Des.path.home=$home" \
  ${cache[@]+"${cache[@]}"} -cp "${class_path%:}" kit.SecuredNode "$home" "${settings[@]}" "$@"
