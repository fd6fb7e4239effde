# The images, from scratch:
#   docker build --target monolith               -t docker.io/securemonolith/monolith:1.0.0 .
#   docker build --target tls-proxy              -t docker.io/securemonolith/tls-proxy:1.0.0 .
#   docker build --target tls-proxy-unprivileged -t docker.io/securemonolith/tls-proxy:1.0.0-unprivileged .
#   docker build --target tls-proxy-static       -t docker.io/securemonolith/tls-proxy:1.0.0-static .
# `make images` needs no registry: it passes the stage `build` as a build context. It
# also sets the labels about the source (scripts/provenance.sh).

# The Rust version of the images, the published figures and the programs' profiles;
# scripts/name-toolchain prints a note if another one is installed.
FROM rust:1.95-bookworm AS build
# The shell of three images, in the version of this Debian release.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends busybox-static \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make rootfs ROOTFS=/rootfs

FROM scratch AS monolith
ARG SOURCE REVISION CREATED
LABEL org.opencontainers.image.title="monolith" \
      org.opencontainers.image.description="A sample service with login, health checks and metrics" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.licenses="(MIT OR Apache-2.0) AND GPL-2.0-only AND LGPL-2.1-or-later" \
      org.opencontainers.image.base.name="scratch" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /rootfs/monolith/ /
# In a pod, the proxy in front drains first.
ENV PATH=/usr/sbin:/usr/bin:/bin \
    ENV=/etc/shrc \
    MONOLITH_LEAVE_LAST=true \
    MONOLITH_SHUTDOWN_BUDGET=25s
EXPOSE 80 81
# By number, as `runAsNonRoot` requires. Any other user works, too.
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/monolith"]

# Common to the variants of tls-proxy.
FROM scratch AS tls-proxy-settings
ARG SOURCE REVISION CREATED
LABEL org.opencontainers.image.title="tls-proxy" \
      org.opencontainers.image.description="A TLS proxy that takes the place of nginx in a pod" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.licenses="(MIT OR Apache-2.0) AND GPL-2.0-only AND LGPL-2.1-or-later" \
      org.opencontainers.image.base.name="scratch" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
# Less than a pod's grace period of 30 seconds, which includes the preStop hook.
ENV PATH=/usr/sbin:/usr/bin:/bin \
    TLS_PROXY_SHUTDOWN_BUDGET=25s
# As in nginx's image. tls-proxy drains on SIGTERM, too.
STOPSIGNAL SIGQUIT
# No ENTRYPOINT, so that `args: ["nginx", "-g", "daemon off;"]` of a pod, for nginx's
# image, starts the proxy here too.
CMD ["/usr/sbin/nginx"]

# Replaces `nginx:…`: it starts as root, for ports below 1024 and for files that only
# root may read.
FROM tls-proxy-settings AS tls-proxy
COPY --from=build /rootfs/tls-proxy/ /
EXPOSE 80 443
# hadolint ignore=DL3002
USER 0:0

# Replaces `nginxinc/nginx-unprivileged:…`. The user is a number, as `runAsNonRoot`
# requires; any other user works, too.
FROM tls-proxy-settings AS tls-proxy-unprivileged
COPY --from=build /rootfs/tls-proxy-unprivileged/ /
EXPOSE 8080
USER 101:101

# Only the program.
FROM tls-proxy-settings AS tls-proxy-static
LABEL org.opencontainers.image.licenses="(MIT OR Apache-2.0) AND LGPL-2.1-or-later"
COPY --from=build /rootfs/tls-proxy-static/ /
EXPOSE 80 443
USER 65532:65532
