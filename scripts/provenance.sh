#!/usr/bin/env bash
# The labels of an image: the URL of the repository, the commit and its time, so that
# the same commit gives the same image. To be sourced.
#
# SOURCE, the repository's URL, is that of the remote `origin` if it is on the web, and
# REVISION is from git; without git they are empty. SOURCE_DATE_EPOCH is not exported:
# the programs contain no time, and all C code would be recompiled for each commit.

origin=$(git config --get remote.origin.url 2>/dev/null || true)
case $origin in
  git@*:*) origin=https://$(sed 's/^git@//; s/:/\//' <<<"$origin") ;;
  https://*@* | [!h]*) origin= ;;
esac
: "${SOURCE:=${origin%.git}}"
: "${REVISION:=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || true)}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
TZ=UTC0 printf -v created '%(%Y-%m-%dT%H:%M:%SZ)T' "$SOURCE_DATE_EPOCH"
# shellcheck disable=SC2034 # used by the scripts that source this
labels=(
  --build-arg SOURCE="$SOURCE"
  --build-arg REVISION="$REVISION"
  --build-arg CREATED="$created"
)
