#!/usr/bin/env bash
# Deletes everything that the walkthrough creates in the current namespace, waits until
# it is gone, and ignores what does not exist.
set -euo pipefail

command -v kubectl >/dev/null || {
  echo "cleanup.sh: kubectl is needed" >&2
  exit 1
}

# The deployment is what `kubectl run nginx` made before Kubernetes 1.18. The
# wait covers the grace period of the slowest pod, 30 seconds.
exec kubectl delete --ignore-not-found --timeout=90s \
  deployment/nginx \
  service/nginx service/monolith \
  pod/nginx pod/monolith pod/healthy-monolith pod/secure-monolith \
  configmap/nginx-proxy-conf secret/tls-certs
