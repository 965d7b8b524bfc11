#!/bin/sh
# Makes elastauth's account in OpenSearch: a role without permissions of its own, and a user with the
# password in secrets/elasticsearch_password. This account can create administrators. Protect it like
# `admin`. It may run again, for example after that file has changed.
#
# The role may read and write users only where opensearch.yml of every node lists it:
#   plugins.security.restapi.roles_enabled: ["all_access", "elastauth"]
# docs/COMPATIBILITY.md has the lines that keep it from everything else.
#
#   OPENSEARCH_USER       who makes it; `admin` if this is not set
#   OPENSEARCH_PASSWORD   asked for if this is not set
set -eu
cd "$(dirname "$0")"
cluster=@CLUSTER@
admin=${OPENSEARCH_USER:-admin}
if [ -z "${OPENSEARCH_PASSWORD:-}" ]; then
  printf 'Password of %s at %s: ' "$admin" "$cluster" >&2
  trap 'stty echo' EXIT
  stty -echo
  IFS= read -r OPENSEARCH_PASSWORD
  stty echo
  trap - EXIT
  echo >&2
fi
password=$(cat secrets/elasticsearch_password)

# ask USER PASSWORD PATH, and more for curl. No secret is in the arguments of a program, where other
# users of this machine could read it. A node that has just started answers 503 for a while.
ask() {
  login=$(printf '%s:%s' "$1" "$2" | sed 's/[\\"]/\\&/g')
  path=$3
  shift 3
  curl --silent --show-error --fail-with-body --retry 30 --retry-delay 1@CACERT@ \
    --config /dev/fd/3 "$@" "$cluster/_plugins/_security/api/$path" 3<<END
user = "$login"
END
}

# put PATH, with the body at standard input. Where somebody else writes users at the same time, it is
# tried again.
put() {
  body=$(cat)
  until said=$(printf '%s' "$body" | ask "$admin" "$OPENSEARCH_PASSWORD" "$1" --request PUT \
    --header "Content-Type: application/json" --data-binary @-); do
    case $said in
      *CONFLICT*) sleep 1 ;;
      *) echo "$said"; exit 1 ;;
    esac
  done
  echo "$said"
}

put roles/elastauth <<END
{"cluster_permissions": []}
END
put internalusers/elastauth <<END
{"password": "$password", "opendistro_security_roles": ["elastauth"]}
END
if ! ask elastauth "$password" internalusers/elastauth --output /dev/null; then
  echo "the account is made and may not read users: list the role \`elastauth\` in" >&2
  echo "\`plugins.security.restapi.roles_enabled\` of opensearch.yml, and start the nodes again" >&2
  exit 1
fi
