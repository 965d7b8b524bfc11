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
# shellcheck source=../secrets.sh
. "$here/../secrets.sh"

authority
# The names under which clients ask elastauth; the others are names of services.
certificate elastauth elasticsearch.example.org kibana.example.org localhost
for service in elasticsearch kibana; do
  certificate "$service" "$service" localhost
done

secret_key=$(value values/secret_key)
elastic=$(value values/elastic_password)
account=$(value values/elastauth_password)
kibana=$(value values/kibana_password)
kibana_objects=$(value values/kibana_objects_key)
kibana_session=$(value values/kibana_session_key)

# One file of variables for each service that needs them, with nothing of the others.
cat >elastauth.env <<END
SECRET_KEY=$secret_key
ELASTICSEARCH_PASSWORD=$account
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
for service in elastauth elasticsearch kibana; do
  cp ca.crt "$service/ca.crt"
done

if [ $# -eq 0 ]; then
  # Others may have written OIDC_ISSUER there.
  grep -qs "^SECRETS=" "$here/.env" || echo "SECRETS=./secrets" >>"$here/.env"
fi
echo "done; start everything with: docker compose up --detach --wait"
