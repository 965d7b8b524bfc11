#!/bin/sh
# Gives Elasticsearch what elastauth and Kibana need. Runs once at each start and may run again.
set -eu

# put METHOD PATH BODY
put() {
  # A node that has just started answers 503 until it has its security index.
  curl --retry 60 --retry-delay 1 --silent --show-error --fail-with-body \
    --cacert /certs/ca.crt --user "elastic:$ELASTIC_PASSWORD" \
    --request "$1" --header "Content-Type: application/json" --data "$3" \
    "https://elasticsearch:9200$2" >/tmp/answer || {
    echo "$1 $2 failed: $(cat /tmp/answer)" >&2
    exit 1
  }
}

# These two privileges and no more (docs/gateways/traefik.md).
user=cluster:admin/xpack/security/user
put PUT /_security/role/elastauth "{\"cluster\": [\"$user/put\", \"$user/get\"]}"
put PUT /_security/user/elastauth \
  "{\"password\": \"$ELASTAUTH_PASSWORD\", \"roles\": [\"elastauth\"]}"
put POST /_security/user/kibana_system/_password "{\"password\": \"$KIBANA_PASSWORD\"}"
echo "Elasticsearch has the accounts of elastauth and Kibana"
