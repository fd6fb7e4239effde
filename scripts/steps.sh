#!/usr/bin/env bash
# What scripts/check and scripts/test share: steps that say how long they took. To be sourced.

step() { # title, command...
  local began=$SECONDS
  echo "== $1"
  "${@:2}"
  echo "== $1: $((SECONDS - began)) s"
}
