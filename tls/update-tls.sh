#!/usr/bin/env bash
# Creates the walkthrough's certificates in this directory:
#   ca-key.pem  ca.pem    a certificate authority, kept if it exists
#   key.pem     cert.pem  the server's key and certificate, new at every run
set -euo pipefail

readonly ca_days=3650
readonly server_days=397 # the longest that browsers accept

usage() {
  cat <<'USAGE'
usage: update-tls.sh [--new-ca] [--rsa]

Renews the server certificate under the authority in this folder, or makes
both when there is no authority yet.

  --new-ca  replace the authority too: clients need the new ca.pem
  --rsa     RSA-2048 instead of P-256 for the keys made in this run
USAGE
}

fail() {
  echo "update-tls.sh: $*" >&2
  exit 1
}

new_key() {
  if [ "$algorithm" = rsa ]; then
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1" 2>"$new/log" ||
      fail "$(cat "$new/log")"
  else
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
      -pkeyopt ec_param_enc:named_curve -out "$1"
  fi
}

# Serial numbers are random: no .srl file is needed.
serial() {
  echo "0x01$(openssl rand -hex 15)"
}

belong_together() { # certificate, key
  [ "$(openssl x509 -in "$1" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout)" ]
}

make_ca() {
  new_key "$new/ca-key.pem"
  openssl req -new -x509 -sha256 -days "$ca_days" -set_serial "$(serial)" \
    -config "$extensions" -extensions ca -key "$new/ca-key.pem" -out "$new/ca.pem"
  ca=$new
}

keep_ca() {
  [ -e ca.pem ] || fail "ca-key.pem is here but ca.pem is not; --new-ca makes a new authority"
  [ -e ca-key.pem ] || fail "ca.pem is here but ca-key.pem is not; --new-ca makes a new authority"
  belong_together ca.pem ca-key.pem ||
    fail "ca-key.pem is not the key of ca.pem; --new-ca makes a new authority"
  openssl x509 -in ca.pem -noout -checkend $((server_days * 86400)) >/dev/null ||
    fail "ca.pem ends before a new server certificate would; --new-ca makes a new authority"
  ca=$PWD
}

make_server_certificate() {
  new_key "$new/key.pem"
  openssl req -new -sha256 -config "$extensions" -subj "/O=secure-monolith/CN=monolith" \
    -key "$new/key.pem" -out "$new/request"
  openssl x509 -req -sha256 -days "$server_days" -set_serial "$(serial)" \
    -extfile "$extensions" -extensions server -CA "$ca/ca.pem" -CAkey "$ca/ca-key.pem" \
    -in "$new/request" -out "$new/cert.pem" 2>"$new/log" || fail "$(cat "$new/log")"
  openssl verify -CAfile "$ca/ca.pem" "$new/cert.pem" >"$new/log" 2>&1 || fail "$(cat "$new/log")"
}

# The only step that changes the files in use: atomic renames.
install_files() {
  chmod 644 "$new/cert.pem"
  [ ! -e "$new/ca.pem" ] || chmod 644 "$new/ca.pem"
  trap '' INT TERM HUP
  mv -f "$new"/*.pem .
}

algorithm=p256
new_ca=no
for argument; do
  case $argument in
    --rsa) algorithm=rsa ;;
    --new-ca) new_ca=yes ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 64 ;;
  esac
done

command -v openssl >/dev/null || fail "openssl is needed (on Debian: apt-get install openssl)"
cd "$(dirname "${BASH_SOURCE[0]}")"
extensions=$PWD/ssl-extensions-x509.cnf

umask 077
new=$(mktemp -d "$PWD/.new.XXXXXX") # on the same file system, so that mv is a rename
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ "$new_ca" = yes ] || { [ ! -e ca.pem ] && [ ! -e ca-key.pem ]; }; then
  make_ca
else
  keep_ca
fi
make_server_certificate
install_files
echo "tls/cert.pem and tls/key.pem are new, under the authority in tls/ca.pem; valid until" \
  "$(openssl x509 -in cert.pem -noout -enddate | cut -d= -f2)"
