#!/usr/bin/env bash
# What an image tells of its source: the address of the repository, the commit and
# its time, so that the same commit gives the same image. To be sourced.
#
# SOURCE, the repository's address, is taken from the remote `origin` where that is
# one on the web, and REVISION from git; a folder without git leaves them empty.
# SOURCE_DATE_EPOCH is not exported: what is compiled has no time in it, and all of C
# would be compiled anew for each commit.

origin=$(git config --get remote.origin.url 2>/dev/null || true)
case $origin in
  git@*:*) origin=https://$(sed 's/^git@//; s/:/\//' <<<"$origin") ;;
  https://*@* | [!h]*) origin= ;;
esac
: "${SOURCE:=${origin%.git}}"
: "${REVISION:=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || true)}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
TZ=UTC0 printf -v created '%(%Y-%m-%dT%H:%M:%SZ)T' "$SOURCE_DATE_EPOCH"
# shellcheck disable=SC2034 # whoever sources this uses it
labels=(
  --build-arg SOURCE="$SOURCE"
  --build-arg REVISION="$REVISION"
  --build-arg CREATED="$created"
)
