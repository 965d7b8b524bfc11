# For make-secrets.sh and proxy/make-secrets.sh, in the folder of the secrets: what both make.

# value FILE: a random value, made once.
value() {
  [ -s "$1" ] || { mkdir -p "$(dirname "$1")" && openssl rand -hex 32 >"$1"; }
  cat "$1"
}

# authority: a CA of our own, made once.
authority() {
  [ ! -s ca.crt ] || return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=elastauth compose CA" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt 2>/dev/null
  chmod 600 ca.key
  echo "made a CA: let your browser trust $(pwd)/ca.crt"
}

# certificate SERVICE NAME...: signed by our CA.
certificate() {
  service=$1
  shift
  [ ! -s "$service/tls.crt" ] || return 0
  mkdir -p "$service"
  names=$(printf 'DNS:%s,' "$@")
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$service/tls.key" -out "$service/tls.csr" 2>/dev/null
  printf '%s\n' "subjectAltName=${names%,}" basicConstraints=CA:FALSE extendedKeyUsage=serverAuth \
    >"$service/tls.ext"
  openssl x509 -req -in "$service/tls.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 \
    -extfile "$service/tls.ext" -out "$service/tls.crt" 2>/dev/null
  rm "$service/tls.csr" "$service/tls.ext"
  chmod 644 "$service/tls.key"
  echo "made the certificate of $service"
}
