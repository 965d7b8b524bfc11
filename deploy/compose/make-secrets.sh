#!/bin/sh
# Makes everything that compose.yml needs and nobody else may know: keys, passwords, a CA and a
# certificate for each service. Run it again whenever you like: it makes what is missing and changes
# nothing that is there. To change a secret, delete its file and run it again.
#
#   ./make-secrets.sh            into ./secrets, and tells compose.yml so by ./.env
#   ./make-secrets.sh FOLDER     into another folder; then set SECRETS=FOLDER yourself
#
# The containers run as different users and read their files through the mounts. So the files can be
# read by everybody, and the folder around them by you alone.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
command -v openssl >/dev/null || {
  echo "make-secrets.sh needs openssl; install it first" >&2
  exit 1
}
secrets=${1:-$here/secrets}
mkdir -p "$secrets"
chmod 700 "$secrets"
cd "$secrets"

# shellcheck source=secrets.sh
. "$here/secrets.sh"

authority
# The names under which browsers ask Traefik; the others are names of services.
certificate traefik auth.example.org kibana.example.org elasticsearch.example.org
for service in authelia elastauth elasticsearch kibana; do
  certificate "$service" "$service" localhost
done
certificate redis redis localhost

secret_key=$(value values/secret_key)
gateway_key=$(value values/gateway_key)
elastic=$(value values/elastic_password)
account=$(value values/elastauth_password)
kibana=$(value values/kibana_password)
redis=$(value values/redis_password)
value authelia/session_secret >/dev/null
value authelia/storage_encryption_key >/dev/null
value authelia/reset_password_secret >/dev/null
kibana_objects=$(value values/kibana_objects_key)
kibana_session=$(value values/kibana_session_key)

# One file of variables for each service that needs them, with nothing of the others.
cat >traefik.env <<END
GATEWAY_KEY=$gateway_key
END
cat >elastauth.env <<END
SECRET_KEY=$secret_key
GATEWAY_KEY=$gateway_key
ELASTICSEARCH_PASSWORD=$account
ELASTAUTH_CACHE_REDIS_PASSWORD=$redis
END
cat >elasticsearch.env <<END
ELASTIC_PASSWORD=$elastic
END
cat >cluster-setup.env <<END
ELASTIC_PASSWORD=$elastic
ELASTAUTH_PASSWORD=$account
KIBANA_PASSWORD=$kibana
END
cat >kibana.env <<END
ELASTICSEARCH_PASSWORD=$kibana
XPACK_ENCRYPTEDSAVEDOBJECTS_ENCRYPTIONKEY=$kibana_objects
XPACK_SECURITY_ENCRYPTIONKEY=$kibana_session
END
cat >redis.env <<END
REDISCLI_AUTH=$redis
END
rights="-@all +ping +get +set +del +eval +publish +subscribe"
cat >redis/redis.conf <<END
# TLS alone, and one user with the rights of docs/replicas.md.
bind * -::*
protected-mode no
port 0
tls-port 6379
tls-cert-file /etc/redis/tls.crt
tls-key-file /etc/redis/tls.key
tls-ca-cert-file /etc/redis/ca.crt
tls-auth-clients no
user default off
user elastauth on >$redis resetkeys ~elastauth:* resetchannels &elastauth:* $rights
save ""
appendonly no
maxmemory 64mb
maxmemory-policy allkeys-lru
END
for service in elasticsearch kibana redis authelia elastauth; do
  cp ca.crt "$service/ca.crt"
done

if [ ! -s authelia/users.yml ]; then
  password=$(openssl rand -hex 8)
  # Authelia takes SHA-512-crypt; `authelia crypto hash generate argon2` makes better ones.
  cat >authelia/users.yml <<END
# Authelia reads this file again when it changes.
users:
  alice:
    displayname: Alice
    password: '$(openssl passwd -6 "$password")'
    email: alice@example.org
    groups: [search-admins]
END
  echo "$password" >values/alice_password
  echo "made the user alice; the password is in $secrets/values/alice_password"
fi

if [ $# -eq 0 ]; then
  echo "SECRETS=./secrets" >"$here/.env"
fi
echo "done; start everything with: docker compose up --detach --wait"
