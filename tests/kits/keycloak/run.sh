#!/usr/bin/env bash
# Starts the Keycloak that build.sh has made, on 127.0.0.1. It ends with its stdin, or with SIGTERM.
#
#   JAVA=/path/to/java run.sh OUT PORT
#
# It is ready when it says "Listening on". The administrator is `admin` with the password `admin-password`; there is no realm but `master`.
set -euo pipefail

[ $# = 2 ] && [ -n "${JAVA:-}" ] || { echo "usage: JAVA=/path/to/java run.sh OUT PORT" >&2; exit 2; }
# A short life: the quick compiler and the small collector halve the CPU time and save 180 MB.
export JAVA_OPTS_APPEND="-XX:TieredStopAtLevel=1 -XX:-UseG1GC -XX:+UseSerialGC"
export KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin-password

exec 3<&0
sh "$1/bin/kc.sh" start --optimized --cache=local --http-enabled=true --http-host=127.0.0.1 "--http-port=$2" "--hostname=http://127.0.0.1:$2" </dev/null 3<&- &
server=$!
trap 'kill -TERM "$server" 2>/dev/null || true' TERM INT
{ cat >/dev/null; kill -TERM "$server" 2>/dev/null; } <&3 3<&- >/dev/null 2>&1 &
exec 3<&-
status=0
wait "$server" || status=$?
exit "$status"
