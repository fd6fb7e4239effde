#!/usr/bin/env bash
# Shared by scripts/check and scripts/test: steps that print how long they took. To be sourced.

step() { # title, command...
  local began=$SECONDS
  echo "== $1"
  "${@:2}"
  echo "== $1: $((SECONDS - began)) s"
}
