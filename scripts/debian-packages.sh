#!/usr/bin/env bash
# Shared by scripts/install-test-tools and scripts/install-bench-tools: Debian
# packages. To be sourced.

updated=
update_once() {
  [ -n "$updated" ] || apt-get update -qq
  updated=1
}

# Installs packages, or names the command that needs them.
install_packages() { # who, package...
  local who=$1
  shift
  [ "$#" -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "$who: these are missing, and only root on Debian can have them installed here: $*" >&2
    exit 1
  fi
  echo "Installing $*"
  update_once
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >/dev/null
}

# Unpacks a package into a directory: installing it would start a server.
unpack_package() { # package, directory
  update_once
  rm -rf "$2"
  mkdir -p "$2"
  (
    cd "$2" || exit
    apt-get download -qq --option APT::Sandbox::User=root "$1"
    dpkg-deb --extract "$1"_*.deb .
    rm "$1"_*.deb
  )
}

# nginx 1.22, to compare with.
unpack_nginx_1_22() { # folder
  [ -x "$1/usr/sbin/nginx" ] || unpack_package nginx "$1"
  # Where it makes its folders for temporary files; nginx-common would bring it.
  if ! mkdir -p /var/lib/nginx || [ ! -w /var/lib/nginx ]; then
    echo "nginx 1.22 writes to the folder /var/lib/nginx: create it, writable for this user" >&2
    exit 1
  fi
}
