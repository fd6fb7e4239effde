#!/usr/bin/env bash
# The images and their names, for the scripts that build, load and publish them. To be
# sourced. `make` sets MONOLITH_IMAGE and TLS_PROXY_IMAGE.

# Targets of the Dockerfile, directories of target/rootfs, archives of target/images.
# shellcheck disable=SC2034 # used by the scripts that source this
image_targets=(monolith tls-proxy tls-proxy-unprivileged tls-proxy-static)

# tls-proxy-static is the variant `-static` of tls-proxy: a tag of its repository.
image_program() { # target
  case $1 in
    tls-proxy*) echo tls-proxy ;;
    *) echo "$1" ;;
  esac
}

image_variant() { # target
  local program
  program=$(image_program "$1")
  echo "${1#"$program"}"
}

image_name() { # target
  case $1 in
    monolith) echo "$MONOLITH_IMAGE" ;;
    *) echo "$TLS_PROXY_IMAGE$(image_variant "$1")" ;;
  esac
}
