#!/bin/sh
# Puts elastauth's files where its unit reads them, and starts it. Run it as root, on each machine
# that runs a replica. It changes no configuration and no secret that is there.
set -eu
cd "$(dirname "$0")"
if [ ! -x /usr/bin/elastauth ]; then
  echo "install the program as /usr/bin/elastauth first" >&2
  exit 1
fi
for file in config.yml secrets/*; do
  if [ -e "/etc/elastauth/$file" ]; then
    echo "/etc/elastauth/$file is there already; move it away first" >&2
    exit 1
  fi
done
install -m 644 elastauth.sysusers /usr/lib/sysusers.d/elastauth.conf
systemd-sysusers
install -m 644 elastauth.service /etc/systemd/system/elastauth.service
install -d -m 750 -g elastauth /etc/elastauth
install -d -m 700 /etc/elastauth/secrets
install -m 640 -g elastauth config.yml /etc/elastauth/config.yml
install -m 600 secrets/* /etc/elastauth/secrets/
/usr/bin/elastauth check --config /etc/elastauth/config.yml
systemctl daemon-reload
systemctl enable --now elastauth
