#!/bin/bash
# Installs, starts, upgrades, removes and purges the package as an administrator does, in a Debian
# that runs systemd. /check has the packages (first.deb, second.deb), the stand-in for a cluster, and
# the guide, docs/deployment/bare-metal.md.
# The last line is `ok` if all is well; otherwise it says what is not.
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
etc=/etc/elastauth

fail() {
  echo "FAILED: $*"
  systemctl status --no-pager --full elastauth
  journalctl --no-pager -u elastauth | tail -n 30
  exit 1
}

# Waits until a command succeeds, a minute at most.
until_true() {
  for _ in $(seq 600); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  fail "this never came true: $*"
}

# Asks as a gateway does; succeeds if the answer is a login.
has_login() {
  exec 8<>/dev/tcp/127.0.0.1/5000 || return 1
  printf 'GET /elastauth/forward-auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRemote-User: alice\r\nRemote-Groups: search-readers\r\nX-Elastauth-Key: %s\r\n\r\n' \
    "$(cat $etc/secrets/gateway_key)" >&8
  local answer
  answer=$(cat <&8)
  exec 8>&-
  [[ $answer == "HTTP/1.1 200"* && ${answer,,} == *"authorization: basic "* ]]
}

is_closed() { ! (exec 8<>/dev/tcp/127.0.0.1/5000) 2>/dev/null; }
main_pid() { systemctl show -P MainPID elastauth; }
journal_has() { journalctl --no-pager -u elastauth | grep -qF "$1"; }
# Starts the service, which fails: the journal says why, and the guide has a line for it.
fails_as_the_guide_says() {
  systemctl reset-failed elastauth
  systemctl start elastauth
  until_true journal_has "$1"
  grep -F "| \`" /check/bare-metal.md | grep -qF -- "$1" || fail "the guide has no line for: $1"
  systemctl stop elastauth
}
is_failed() { [[ $(systemctl is-failed elastauth) == failed ]]; }

echo "== install"
said=$(dpkg -i /check/first.deb 2>&1) || fail "the first installation: $said"
grep -q "elastauth check --config $etc/config.yml" <<<"$said" || fail "it does not say what to do: $said"
[[ $(stat -c '%U:%G %a' $etc) == "root:elastauth 750" ]] || fail "$(stat $etc)"
[[ $(stat -c '%U:%G %a' $etc/config.yml) == "root:elastauth 640" ]] || fail "$(stat $etc/config.yml)"
[[ $(stat -c '%U:%G %a' $etc/secrets) == "root:root 700" ]] || fail "$(stat $etc/secrets)"
[[ $(systemctl is-enabled elastauth) == enabled ]] || fail "it does not start with the machine"
systemctl is-active --quiet elastauth && fail "it runs without its secrets"
systemd-analyze verify --man=no --recursive-errors=no elastauth.service || fail "the unit has faults"

echo "== start without a credential"
systemctl start elastauth
until_true is_failed
journal_has "secrets_secret_key" || fail "the journal does not name the credential"
journal_has "put the secret into the file that" || fail "the journal does not say what to do"
fails_as_the_guide_says "systemd passed no such credential"
journal_has "Start request repeated too quickly" || fail "systemd does not say that it has given up"
grep -qF "Start request repeated too quickly" /check/bare-metal.md || fail "the guide lacks it"

echo "== start"
mkfifo /run/standin
exec 9<>/run/standin
/check/standin 0 </run/standin >/run/standin.about &
until_true test -s /run/standin.about
read -r cluster _ password </run/standin.about
# By a name: the resolver has to work within the unit's restrictions.
echo "127.0.0.1 cluster.test" >>/etc/hosts
elastauth generate-key >$etc/secrets/secret_key
elastauth generate-key >$etc/secrets/gateway_key
echo "$password" >$etc/secrets/elasticsearch_password
sed -i "s|https://127.0.0.1:9200|http://cluster.test:${cluster##*:}|" $etc/config.yml
elastauth check --config $etc/config.yml || fail "the configuration has faults"
systemctl reset-failed elastauth
systemctl start elastauth || fail "it does not start"
is_closed && fail "systemctl start has returned before it listens"
until_true has_login
[[ $(systemctl show -P StatusText elastauth) == "Answers gateways" ]] || fail "it tells systemd nothing"
pid=$(main_pid)
[[ $(stat -c %U /proc/"$pid") == elastauth ]] || fail "it runs as another user"
grep -q '^CapEff:[[:space:]]*0*$' /proc/"$pid"/status || fail "it has capabilities"
systemd-analyze security --no-pager --threshold=20 elastauth.service | tail -n 1 || fail "it exposes too much"

echo "== start with other faults of the machine"
systemctl stop elastauth
mv $etc/secrets $etc/away
fails_as_the_guide_says "Failed to set up credentials"
mv $etc/away $etc/secrets
chgrp root $etc/config.yml
fails_as_the_guide_says "the configuration cannot be read: Permission denied"
chgrp elastauth $etc/config.yml
systemd-socket-activate --listen=127.0.0.1:5000 cat &
fails_as_the_guide_says "Address already in use"
kill $! && wait $!
systemctl reset-failed elastauth
systemctl start elastauth || fail "it does not start again"
until_true has_login
pid=$(main_pid)

echo "== reload"
systemctl reload elastauth || fail "it cannot be reloaded"
until_true has_login
[[ $(main_pid) == "$pid" ]] || fail "a reload started another process"

echo "== restart on the socket that systemd keeps"
[[ $(systemctl is-enabled elastauth.socket) == disabled ]] || fail "the socket is enabled"
systemctl stop elastauth
systemctl enable --now elastauth.socket || fail "the socket does not start"
until_true has_login
pid=$(main_pid)
systemctl restart elastauth &
# The socket is open in every moment of it.
while kill -0 $! 2>/dev/null; do
  is_closed && fail "the port was closed during a restart"
done
until_true has_login
[[ $(main_pid) != "$pid" ]] || fail "it was not restarted"
systemctl disable --now elastauth.socket
systemctl restart elastauth || fail "it does not start without the socket"
until_true has_login

echo "== upgrade, with a configuration that both sides have changed"
cp $etc/config.yml /run/config.before
dpkg -i --force-confold /check/second.deb || fail "the upgrade"
until_true has_login
[[ $(main_pid) != "$pid" ]] || fail "the old program still runs"
cmp -s $etc/config.yml /run/config.before || fail "the administrator's configuration has changed"
[[ -e $etc/config.yml.dpkg-dist ]] || fail "the package's new configuration is not there"
[[ $(stat -c '%U:%G %a' $etc/config.yml) == "root:elastauth 640" ]] || fail "$(stat $etc/config.yml)"

echo "== a service that is disabled stays so"
systemctl disable --now elastauth
dpkg -i --force-confold /check/second.deb || fail "the same package again"
[[ $(systemctl is-enabled elastauth) == disabled ]] || fail "it is enabled again"
is_closed || fail "it runs again"
systemctl enable --now elastauth
until_true has_login

echo "== remove"
dpkg --remove elastauth || fail "the removal"
until_true is_closed
[[ -e $etc/config.yml && -e $etc/secrets/secret_key ]] || fail "the removal took the configuration"
dpkg -i --force-confold /check/second.deb || fail "the installation after a removal"
until_true has_login

echo "== purge"
dpkg --purge elastauth || fail "the purge"
until_true is_closed
left=$(find / -xdev \( -path /proc -o -path /check -o -path /result -o -path /var/log -o -path /run \) -prune -o -name '*elastauth*' -print)
[[ -z $left ]] || fail "this is left: $left"
echo ok
