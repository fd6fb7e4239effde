# The main targets: `make run`, `make check` and `make test`. `make` lists all.

VERSION    := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
REPOSITORY := docker.io/securemonolith
export MONOLITH_IMAGE  := $(REPOSITORY)/monolith:$(VERSION)
export TLS_PROXY_IMAGE := $(REPOSITORY)/tls-proxy:$(VERSION)

# Static programs: images contain no libraries. With --target, the flags do not apply
# to build scripts and macros, which cannot be static. No path of the build machine
# gets into the programs. Without Rust, docker builds the images; what else needs it
# says so: `programs`.
TARGET     := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
CARGO_HOME ?= $(HOME)/.cargo
STATIC     := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs \
              --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(CARGO_HOME)=.cargo
BUILD      := RUSTFLAGS='$(STATIC)' cargo build --locked --target $(TARGET)
# Static programs for 64-bit ARM are position-independent, too. Used on other machines,
# it is also the linker for ARM.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER := $(CURDIR)/scripts/link-static-pie
# Both programs are built with profile-guided optimization, by their profiles of `make
# profile`: code that requests run is optimized for speed, the rest for size. lld merges
# identical functions, and places those of tls-proxy that run together. Compilers older
# than the profiles cannot read them. They are for one target, whose name is part of all
# names of functions: for another one every function would be optimized for size. $(1) is
# the source tree, $(2) the program. Two flags differ, since monolith has to fit into 10Mi:
# fewer calls are inlined in code that is neither run often nor rarely, and the code that is
# run often is placed together.
LLVM       := $(shell rustc -vV 2>/dev/null | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
PROFILE_TARGET := x86_64-unknown-linux-gnu
PROFILE    := $(if $(filter $(PROFILE_TARGET),$(TARGET)),$(shell [ 0$(LLVM) -ge 22 ] && echo requests.profdata))
ORDER      := $(if $(PROFILE),functions.txt)
SMALL_COLD := -C llvm-args=-no-pgo-warn-mismatch -C llvm-args=-pgso-lwss-only=false \
              -C llvm-args=-profile-summary-cutoff-cold=999000 \
              -C llvm-args=-hot-callsite-threshold=1500 -C link-arg=-Wl,--icf=all
SMALL_monolith := -C llvm-args=-inline-threshold=75 -C llvm-args=-inlinecold-threshold=45 \
              -C link-arg=-Wl,-z,keep-text-section-prefix
TOGETHER   := -C link-arg=-Wl,--no-warn-symbol-ordering -C link-arg=-Wl,--symbol-ordering-file
cargo_profile_tls-proxy := release
cargo_profile_monolith  := monolith
use_profile = $(addprefix $(SMALL_COLD) $(SMALL_$(2)) -C profile-use=,$(wildcard $(addprefix $(1)/$(2)/,$(PROFILE))))
use_order   = $(addprefix $(TOGETHER)=,$(wildcard $(addprefix $(1)/$(2)/,$(ORDER))))
program     = RUSTFLAGS='$(STATIC) $(use_profile) $(use_order)' $(if $(use_profile),,CARGO_PROFILE_MONOLITH_OPT_LEVEL=s) \
              cargo build --locked --target $(TARGET) --package $(2) --profile $(cargo_profile_$(2))
export CARGO_TARGET_DIR := $(CURDIR)/target

# The output of `programs` and `rootfs`.
export PROGRAMS := target/programs
ROOTFS          := target/rootfs

.PHONY: help run learn check check-one test test-arm attack e2e day walkthrough bench bench-quick bench-tools profile instrumented check-profile lint programs rootfs images load publish image-names clean

help:
	@echo 'make run      build, start both programs on 127.0.0.1:10080, :10081 and :10443, show how to use them'
	@echo 'make learn    the same with a lesson: tokens, probes, certificates, a drain; LANG=es: in Spanish'
	@echo 'make check    before a commit: format, clippy, unit tests, lint; no root, installs nothing'
	@echo 'make check-one CASE=http1/host   one differential case, or tests by name'
	@echo 'make test     install what the tests need and run all of them'
	@echo 'make test-arm build for 64-bit ARM and run the tests of cargo, emulated'
	@echo 'make attack   attack tls-proxy, monolith and nginx in small cgroups; ATTACKS selects some'
	@echo 'make e2e      deployments/ under load: in the cluster of KUBECONFIG, or in podman'
	@echo 'make day      a day of rotations, rollouts and failures in DAY_MINUTES, 10 by default'
	@echo 'make walkthrough   run the commands of docs/en and docs/es in the cluster of KUBECONFIG, or in podman'
	@echo 'make bench    install nginx, haproxy, Envoy and Caddy and compare tls-proxy with them'
	@echo 'make bench-quick BEFORE=HEAD   compare tls-proxy of the working tree with that of a commit'
	@echo 'make profile  update the profiles for profile-guided optimization; PROFILED=monolith: only its'
	@echo 'make images   build the images as target/images/*.tar'
	@echo 'make load     load the images into kind, minikube, k3s, containerd, podman or docker'
	@echo 'make publish NAMESPACE=docker.io/you   push the images to a registry, for amd64 and arm64'

run: programs
	@scripts/foreground setpriv --pdeathsig TERM scripts/run

learn: programs
	@command -v python3 >/dev/null || { echo 'make learn: python3 is missing (on Debian: apt-get install python3)' >&2; exit 1; }
	@PERL_BADLANG=0 scripts/foreground scripts/learn

check:
	@scripts/check

CASE = $(error CASE names a differential case or a test)
check-one:
	@scripts/check '$(CASE)'

test:
	@scripts/test

test-arm:
	@scripts/test-arm

# All of them take more than an hour. Prints the table to standard output.
ATTACKS ?=
attack: programs
	@scripts/install-test-tools
	@tests/attacks/run.py --nginx target/tools/nginx-1.31 --jobs 3 --record target/attacks.jsonl \
	  --markdown --before tests/attacks/before.jsonl $(ATTACKS)

e2e:
	@scripts/e2e

day:
	@scripts/e2e day

bench: programs bench-tools
	@scripts/install-bench-tools
	@bench/run

walkthrough:
	@[ -n "$$KUBECONFIG" ] || { scripts/install-test-tools && $(MAKE) --no-print-directory images; }
	@scripts/walkthrough --lang en
	@scripts/walkthrough --lang es

BEFORE ?= HEAD
BEFORE_TARGET := $(CURDIR)/target/bench/before-target
bench-quick: programs bench-tools
	@scripts/install-bench-tools
	@scripts/checkout-before '$(BEFORE)' target/bench/before
	@cd target/bench/before && CARGO_TARGET_DIR=$(BEFORE_TARGET) $(call program,$(CURDIR)/target/bench/before,tls-proxy)
	@bench/run --quick $(BEFORE_TARGET)/$(TARGET)/release/tls-proxy $(PROGRAMS)/tls-proxy

bench-tools:
	@$(BUILD) --manifest-path bench/tools/Cargo.toml --release

programs:
	@command -v cargo >/dev/null || { echo 'make: Rust is missing (https://rustup.rs; the images can also be built by docker: make load)' >&2; exit 1; }
	@command -v cc >/dev/null || { echo 'make: a C compiler is missing (on Debian: apt-get install build-essential)' >&2; exit 1; }
	@scripts/name-toolchain
	@$(call program,$(CURDIR),monolith)
	@$(call program,$(CURDIR),tls-proxy)
	@install -D -t $(PROGRAMS) target/$(TARGET)/monolith/monolith target/$(TARGET)/release/tls-proxy

PROFILED ?= monolith tls-proxy
profiled  = $(foreach program,$(PROFILED),$(program):$(cargo_profile_$(program)))
profile: bench-tools
	@scripts/name-toolchain
	@scripts/profile '$(STATIC)' $(TARGET) $(LLVM) $(profiled)

# The programs that count what they call, for `profile` and `check-profile`.
instrumented:
	@$(if $(PROFILE),scripts/profile --build '$(STATIC)' $(TARGET) $(profiled))

# Whether the profiles are out of date.
check-profile:
	@scripts/profile --check '$(STATIC)' $(TARGET) $(profiled)

rootfs: programs
	@scripts/make-rootfs $(PROGRAMS) $(ROOTFS)

images:
	@scripts/build-images

load: images
	@scripts/load-images

publish:
	@scripts/publish-images '$(NAMESPACE)' '$(VERSION)'

image-names:
	@bash -c '. scripts/images.sh; for target in "$${image_targets[@]}"; do image_name "$$target"; done'

clean:
	rm -rf target
