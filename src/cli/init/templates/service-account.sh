#!/bin/sh
# Makes elastauth's account in the cluster: a role with two privileges and no more, and a user with
# the password in secrets/elasticsearch_password. This account can create superusers. Protect it like
# `elastic`. It may run again, for example after that file has changed.
#
#   ELASTIC_USER       who makes it; `elastic` if this is not set
#   ELASTIC_PASSWORD   asked for if this is not set
set -eu
cd "$(dirname "$0")"
cluster=@CLUSTER@
admin=${ELASTIC_USER:-elastic}
if [ -z "${ELASTIC_PASSWORD:-}" ]; then
  printf 'Password of %s at %s: ' "$admin" "$cluster" >&2
  trap 'stty echo' EXIT
  stty -echo
  IFS= read -r ELASTIC_PASSWORD
  stty echo
  trap - EXIT
  echo >&2
fi

# put PATH, with the body at standard input. No secret is in the arguments of a program, where other
# users of this machine could read it. A node that has just started answers 503 for a while.
put() {
  login=$(printf '%s:%s' "$admin" "$ELASTIC_PASSWORD" | sed 's/[\\"]/\\&/g')
  curl --silent --show-error --fail-with-body --retry 30 --retry-delay 1@CACERT@ \
    --config /dev/fd/3 --request PUT --header "Content-Type: application/json" \
    --data-binary @- "$cluster$1" 3<<END
user = "$login"
END
  echo
}

put /_security/role/elastauth <<END
{"cluster": ["cluster:admin/xpack/security/user/put", "cluster:admin/xpack/security/user/get"]}
END
put /_security/user/elastauth <<END
{"password": "$(cat secrets/elasticsearch_password)", "roles": ["elastauth"]}
END
