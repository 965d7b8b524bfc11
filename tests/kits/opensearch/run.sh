#!/usr/bin/env bash
# Runs one real OpenSearch node with its security plugin, on the loopback address only.
#
#   run.sh OUT HOME [key=value]...
#
# OUT        what build.sh made
# HOME       data and configuration of this node; users live on from start to start
# key=value  node settings, for example http.port=9200 (default: any free port), or
#            plugins.security.ssl.http.enabled=true (with the certificate in OUT/tls), or
#            plugins.security.allow_default_init_securityindex=false (without its index: 503 to all)
#
# Its HTTP port is in the line of HttpServerTransport with `publish_address`. A signal ends it; so does the end of
# its stdin where KIT_EPHEMERAL=1 is set, and then its HOME is removed too: nothing outlives the program that holds
# the other end. A file HOME/keep.PID, with the process id of the node, keeps HOME for another start.
#
# KIT_HEAP  size of the heap, default 512m
# KIT_JIT   default 4 as in production; 1 starts faster and is right where nothing is measured
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: run.sh OUT HOME [key=value]..." >&2; exit 2; }
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "$1" && pwd)
mkdir -p "$2/config/certs" "$2/config/opensearch-security" "$2/tmp" "$2/data" "$2/logs"
home=$(cd "$2" && pwd)
shift 2

cp "$kit/config/opensearch.yml" "$kit/config/log4j2.properties" "$home/config/"
cp "$kit"/config/security/*.yml "$home/config/opensearch-security/"
cp "$out/tls/ca.pem" "$out/tls/node.pem" "$out/tls/node.key" "$home/config/certs/"
chmod -R go= "$home/config"

settings=("-Epath.data=$home/data" "-Epath.logs=$home/logs")
for setting in "$@"; do settings+=("-E$setting"); done
heap=${KIT_HEAP:-512m}
class_path=$(printf '%s:' "$out"/home/lib/*.jar)
# Without its native library the node cannot tell as whom it runs: it refuses root, and the tests run as anybody.
node=("$out/java/bin/java" "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC "-XX:TieredStopAtLevel=${KIT_JIT:-4}"
  -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData -XX:+ShowCodeDetailsInExceptionMessages "-Djava.io.tmpdir=$home/tmp"
  -Djna.nosys=true -Djna.nounpack=true "-Djna.boot.library.path=$home/tmp"
  -Djava.security.manager=allow -Djava.security.egd=file:/dev/urandom -Dfile.encoding=UTF-8
  -Dopensearch.networkaddress.cache.ttl=60 -Dopensearch.networkaddress.cache.negative.ttl=10
  -Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0
  -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true -Djava.locale.providers=SPI,CLDR
  -Djava.util.concurrent.ForkJoinPool.common.threadFactory=org.opensearch.secure_sm.SecuredForkJoinWorkerThreadFactory
  "-Dopensearch.path.home=$out/home" "-Dopensearch.path.conf=$home/config"
  -Dopensearch.distribution.type=tar -Dopensearch.bundled_jdk=false
  -cp "${class_path%:}" org.opensearch.bootstrap.OpenSearch "${settings[@]}")
cd "$home"
if [ "${KIT_EPHEMERAL:-}" = 1 ]; then
  exec 3<&0
  {
    cat >/dev/null
    # The node has taken the process id of this script.
    running() { grep -qaF "$home/config" "/proc/$$/cmdline" 2>/dev/null; }
    ! running || kill -KILL $$
    # What it was about to write comes back otherwise.
    while running; do sleep 0.05; done
    [ -e "$home/keep.$$" ] || rm -rf "$home"
  } <&3 3<&- >/dev/null 2>&1 &
  exec 3<&-
fi
exec "${node[@]}" </dev/null
