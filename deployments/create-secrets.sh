#!/usr/bin/env bash
# Creates the two Secrets of the Deployment, in kubectl's current namespace:
#   secure-monolith-tls  tls/cert.pem and tls/key.pem, without the authority's key
#   secure-monolith-jwt  32 random bytes that sign tokens, kept if they exist
# Run it again after tls/update-tls.sh: the pods reload the new certificate.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: create-secrets.sh [--new-key]

Creates the fleet's Secrets, or renews the certificate in them.

  --new-key  replace the key of the tokens too: those of the old one stay valid
             until they expire in pods that run, not in new ones
USAGE
}

fail() {
  echo "create-secrets.sh: $*" >&2
  exit 1
}

# Server-side: `kubectl apply` alone would write the Secret's data into an
# annotation as well.
apply() {
  kubectl apply --server-side --force-conflicts --field-manager=create-secrets -f -
}

certificate() {
  [ -e tls/cert.pem ] || tls/update-tls.sh
  openssl x509 -in tls/cert.pem -noout -checkend 0 >/dev/null ||
    fail "tls/cert.pem has expired: tls/update-tls.sh creates a new one"
  kubectl create secret tls secure-monolith-tls --cert=tls/cert.pem --key=tls/key.pem \
    --dry-run=client -o yaml | apply
}

key() {
  local there
  there=$(kubectl get secret secure-monolith-jwt --ignore-not-found -o name)
  [ -z "$there" ] || [ "$new_key" = yes ] || return 0
  openssl rand -base64 32 |
    kubectl create secret generic secure-monolith-jwt --from-file=key=/dev/stdin \
      --dry-run=client -o yaml | apply
}

new_key=no
for argument; do
  case $argument in
    --new-key) new_key=yes ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 64 ;;
  esac
done

command -v kubectl >/dev/null || fail "kubectl is needed"
command -v openssl >/dev/null || fail "openssl is needed (on Debian: apt-get install openssl)"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
certificate
key
