#!/usr/bin/env bash
# Puts a real Elasticsearch node together from published jars, ready for run.sh.
#
#   JAVA=/path/to/java build.sh OUT
#
# JAVA  a runtime of 25 or later; no compiler is needed in it
# OUT   gets lib/ and compiler/ (fetched by Maven), node.jar (our six small classes) and node.aot
#
# Needs: mvn, python3 (it packs the jar), curl (it watches the training start).
set -euo pipefail

[ $# = 1 ] && [ -n "${JAVA:-}" ] || { echo "usage: JAVA=/path/to/java build.sh OUT" >&2; exit 2; }
kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
rm -rf "$out/lib" "$out/classes" "$out/node.jar" "$out/node.aot" "$out/training"

echo "fetching the jars"
# With the Java that Maven came with: only that one is sure to trust what this machine trusts.
env -u JAVA_HOME mvn -B -q -f "$kit/pom.xml" "-Dkit.out=$out" package

echo "compiling"
class_path=$(printf '%s:' "$out"/lib/*.jar)
"$JAVA" -jar "$out/compiler/ecj.jar" -21 -proc:none -nowarn -d "$out/classes" -cp "$class_path" "$kit/src/main/java"
# A jar, not a folder of classes: the cache below is only valid for jars.
(cd "$out/classes" && python3 -m zipfile -c "$out/node.jar" ./*)
rm -rf "$out/classes"

# One start and stop with a recorder on: what it loads is kept linked and ready, so that later starts take half as long.
# The cache is an extra. Where it cannot be made, the node runs without.
echo "training the start"
mkdir -p "$out/training"
train() {
  local pid port=
  KIT_AOT="-XX:AOTMode=record -XX:AOTConfiguration=$out/training/aotconf" ELASTIC_PASSWORD=training-only \
    "$kit/run.sh" "$out" "$out/training/home" http.port=0 >"$out/training/log" 2>&1 </dev/null &
  pid=$!
  for _ in $(seq 600); do
    kill -0 "$pid" 2>/dev/null || return 1
    port=${port:-$(sed -n 's/^node started, http on port //p' "$out/training/log")}
    if [ -n "$port" ] && curl -sf -m 5 -o /dev/null -u elastic:training-only \
      "http://127.0.0.1:$port/_cluster/health/.security?wait_for_status=yellow&timeout=3s"; then
      # Also the user API, which the tests live on.
      curl -sf -m 30 -o /dev/null -u elastic:training-only -H 'Content-Type: application/json' -X PUT \
        -d '{"password":"training-only","roles":[]}' "http://127.0.0.1:$port/_security/user/training" || return 1
      curl -sf -m 30 -o /dev/null -u training:training-only "http://127.0.0.1:$port/_security/_authenticate" || return 1
      break
    fi
    sleep 0.2
  done
  kill "$pid" 2>/dev/null || return 1
  wait "$pid" || true
  KIT_AOT="-XX:AOTMode=create -XX:AOTConfiguration=$out/training/aotconf -XX:AOTCache=$out/node.aot" ELASTIC_PASSWORD=training-only \
    "$kit/run.sh" "$out" "$out/training/home" >>"$out/training/log" 2>&1 </dev/null
  [ -s "$out/node.aot" ]
}
if train; then
  rm -rf "$out/training"
else
  rm -f "$out/node.aot"
  echo "the start could not be trained (see $out/training/log); the node will start slower"
fi
