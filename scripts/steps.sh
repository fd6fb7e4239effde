#!/usr/bin/env bash
# Shared by scripts/check and scripts/test: steps that print how long they took. To be sourced.

step() { # title, command...
  local began=$SECONDS
  echo "== $1"
  "${@:2}"
  echo "== $1: $((SECONDS - began)) s"
}

# Starts a step beside those that follow, until `join`. Ctrl-C or a step that fails ends it, too.
beside() { # title, command...
  beside_output=$(mktemp)
  # A process group of its own: it can be ended as a whole.
  set -m
  step "$@" >"$beside_output" 2>&1 </dev/null &
  set +m
  beside=$!
  trap 'kill -INT -- "-$beside"; wait "$beside" || true; rm -f "$beside_output"' EXIT
}

# Waits for it and prints what it wrote; fails if it did.
join() {
  local status=0
  wait "$beside" || status=$?
  trap - EXIT
  cat "$beside_output"
  rm -f "$beside_output"
  return "$status"
}
