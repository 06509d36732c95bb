# What one does with this repository. `make` alone builds.
#
#   make run       builds, then runs batond in this terminal with the services ping and counter
#   make test      builds and runs every test
#   make simulate  runs the supervisor in simulated worlds: SEEDS=10000, or SEED=17 TRACE=1 for one
#   make fuzz      gives the parsers and the recovery any bytes: FUZZ_SECONDS=60 each, FUZZ_RUNS=
#   make sanitize  runs the tests with ThreadSanitizer, then with AddressSanitizer
#   make install   puts what was built below DESTDIR= PREFIX=/usr
#   make bench     compares with the peers, side by side;  make bench-upgrade  only the upgrades
#   make format    rewrites the Swift sources in the house style;  make lint  only complains
#   make clean     removes what was built, and what `make run` keeps in ./run
#
# SWIFTFLAGS= is handed to every `swift build`; BUILD= is where its programs are taken from.

PREFIX ?= /usr
DESTDIR ?=
SWIFT ?= swift
SWIFTFLAGS ?=
BUILD ?= .build/release

VENV := .build/venv
# From Debian: to build and run it, to test it, and to compare it.
PACKAGES := libsystemd-dev pkg-config socat
TEST_PACKAGES := redis-tools systemd-container python3-venv libfuse3-dev xfsprogs libfaketime
BENCH_PACKAGES := python3 erlang-base

.DEFAULT_GOAL := build
.PHONY: toolchain deps test-deps bench-deps build run test fuzz sanitize venv install bench bench-upgrade format \
	lint clean

toolchain:
	@command -v '$(SWIFT)' >/dev/null || { \
	    echo "there is no '$(SWIFT)': install Swift 6.3 or later from https://swift.org/install" \
	        "and put it into PATH" >&2; \
	    exit 1; \
	}

# Installs the packages in `wanted` that are missing, if any.
INSTALL_MISSING = \
	if ! command -v dpkg-query >/dev/null; then \
	    echo "this is no Debian: see to it that you have what is in its packages" $$wanted >&2; \
	    exit 0; \
	fi; \
	missing=$$(for package in $$wanted; do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed \
	        || echo $$package; \
	done); \
	[ -n "$$missing" ] || exit 0; \
	sudo=; \
	if [ "$$(id -u)" != 0 ]; then \
	    sudo=sudo; \
	    command -v sudo >/dev/null || { \
	        echo "missing, and there is no sudo to install it with; as root:" \
	            "apt-get install" $$missing >&2; \
	        exit 1; \
	    }; \
	fi; \
	echo "installing" $$missing; \
	install() { \
	    $$sudo env DEBIAN_FRONTEND=noninteractive \
	        apt-get install -y --no-install-recommends $$missing; \
	}; \
	install || { $$sudo apt-get update && install; }

deps: toolchain
	@wanted='$(PACKAGES)'; $(INSTALL_MISSING)

test-deps: toolchain
	@wanted='$(PACKAGES) $(TEST_PACKAGES)'; $(INSTALL_MISSING)

bench-deps: toolchain
	@wanted='$(PACKAGES) $(BENCH_PACKAGES)'; $(INSTALL_MISSING)

build: deps
	$(SWIFT) build -c release $(SWIFTFLAGS)

# The directories are this user's alone to write: batond refuses others. A plugin file that is there
# already stays: it is what the services were upgraded to when they last ran.
run: build
	@umask 022; \
	run='$(CURDIR)/run'; \
	mkdir -p "$$run/plugins" "$$run/state" "$$run/runtime"; \
	for name in ping counter; do \
	    [ -e "$$run/plugins/$$name.so" ] || cp '$(BUILD)'/lib$$name.so "$$run/plugins/$$name.so"; \
	done; \
	printf '%s\n' \
	    '' \
	    'In a second terminal, in this directory:' \
	    '' \
	    '    export BATON_RUNTIME=run/runtime PATH="$(abspath $(BUILD)):$$PATH"' \
	    '    echo ping | socat -t5 - UNIX-CONNECT:run/runtime/services/ping.sock' \
	    '    baton call counter 5' \
	    '' \
	    'Upgrade counter to version 2 while it runs; its sum stays:' \
	    '' \
	    '    cp $(BUILD)/libcounter-2.so run/plugins/.new' \
	    '    mv run/plugins/.new run/plugins/counter.so' \
	    '    baton reload' \
	    '    baton call counter 0' \
	    '    baton status' \
	    '' \
	    'README.md goes on from there. Control-C ends batond.' \
	    ''; \
	exec '$(BUILD)/batond' --plugins "$$run/plugins" --state "$$run/state" --runtime "$$run/runtime"

test: test-deps venv .build/powercut
	$(SWIFT) build -c release $(SWIFTFLAGS) --build-tests
	$(SWIFT) test -c release $(SWIFTFLAGS) --skip-build

# The disk whose power the tests cut. Without libfuse the tests that need it say so.
.build/powercut: Tests/powercut/powercut.c | test-deps
	@mkdir -p .build
	@if pkg-config --exists fuse3; then \
	    $(CC) -std=gnu17 -O2 -Wall -Wextra -o $@ $< $$(pkg-config --cflags --libs fuse3); \
	else \
	    echo 'no libfuse3: the tests that cut the power will say so' >&2; \
	fi

# One process for each processor. The same seed is the same world.
SEED ?= 1
SEEDS ?= $(if $(TRACE),1,1000)
JOBS ?= $(shell nproc)

simulate: deps
	$(SWIFT) build -c release $(SWIFTFLAGS) --product baton-simulate
	@'$(BUILD)/baton-simulate' --seed '$(SEED)' --seeds '$(SEEDS)' --jobs '$(JOBS)' \
	    $(if $(TRACE),--trace)

# libFuzzer with AddressSanitizer, one target after the other; what it finds stays beside its corpus. A
# finding becomes a file of Tests/FuzzTests/Corpus with its fix. Of several -sanitize= for Swift the last
# one counts alone, so both stand in one; a fuzzer whose corpus does not grow is blind, and says so.
FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= -1
FUZZ_TARGETS ?= lines resp mailbox repair host command manifest configuration
FUZZ_BUILD := .build/fuzz

fuzz: deps
	$(SWIFT) build -c release $(SWIFTFLAGS) --scratch-path $(FUZZ_BUILD) --product baton-fuzz \
	    --sanitize=fuzzer --sanitize=address -Xswiftc -sanitize=fuzzer,address -Xswiftc -DFUZZING
	@scratch=$$(mktemp -d /dev/shm/baton-fuzz.XXXXXX); trap 'rm -rf "$$scratch"' EXIT; \
	for target in $(FUZZ_TARGETS); do \
	    mkdir -p "$(FUZZ_BUILD)/corpus/$$target"; \
	    FUZZ_TARGET=$$target TMPDIR="$$scratch" SWIFT_BACKTRACE=enable=no \
	    ASAN_OPTIONS=malloc_context_size=3:quarantine_size_mb=32 $(FUZZ_BUILD)/release/baton-fuzz \
	        -max_total_time=$(FUZZ_SECONDS) -runs=$(FUZZ_RUNS) -print_final_stats=1 \
	        -artifact_prefix="$(FUZZ_BUILD)/corpus/$$target-" \
	        "$(FUZZ_BUILD)/corpus/$$target" "Tests/FuzzTests/Corpus/$$target" || exit 1; \
	    [ "$$(ls "$(FUZZ_BUILD)/corpus/$$target" | wc -l)" -gt 10 ] \
	        || { echo "the fuzzer of $$target is blind: nothing of it is instrumented" >&2; exit 1; }; \
	done

# batond and all libraries with a sanitizer. Hosts and plugins are those of the plain build: the sandbox
# of a host forbids what a sanitizer's runtime does. What is found, by batond too, is in report.* below
# .build/KIND.
SANITIZERS ?= thread address
SANITIZED_TESTS ?= .

sanitize: test-deps build
	@for kind in $(SANITIZERS); do \
	    flags="-c release --scratch-path .build/$$kind --sanitize=$$kind"; \
	    $(SWIFT) build $$flags $(SWIFTFLAGS) --build-tests || exit 1; \
	    cp '$(BUILD)/baton-host' '$(BUILD)'/lib*.so ".build/$$kind/release/" || exit 1; \
	    rm -f .build/$$kind/report.*; \
	    report="log_path=$(CURDIR)/.build/$$kind/report"; \
	    BATON_SANITIZER=$$kind TSAN_OPTIONS="$$report" ASAN_OPTIONS="$$report:detect_leaks=0" \
	        $(SWIFT) test $$flags $(SWIFTFLAGS) --skip-build --filter '$(SANITIZED_TESTS)' || exit 1; \
	    ! ls .build/$$kind/report.* 2>/dev/null || exit 1; \
	done

# redis-py, for the test that talks to Baton with it.
venv: test-deps
	@$(VENV)/bin/python -c 'import redis' 2>/dev/null \
	    || { python3 -m venv $(VENV) && $(VENV)/bin/pip install --quiet redis; } \
	    || echo 'no redis-py: the test that needs it will say so' >&2

# The files of systemd name paths below /usr.
PLACED = sed 's|/usr/|$(PREFIX)/|g'

# Of what was built before: root, who installs, need not have Swift.
install:
	@[ -x '$(BUILD)/batond' ] || { echo "there is no $(BUILD)/batond: 'make' first" >&2; exit 1; }
	install -d -m 755 '$(DESTDIR)$(PREFIX)/lib/baton/plugins'
	install -D -m 755 -t '$(DESTDIR)$(PREFIX)/bin' '$(BUILD)/batond' '$(BUILD)/baton'
	install -D -m 755 -t '$(DESTDIR)$(PREFIX)/libexec/baton' '$(BUILD)/baton-host'
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/include' Sources/CBaton/include/baton.h
	$(PLACED) systemd/batond.service \
	    | install -D -m 644 /dev/stdin '$(DESTDIR)$(PREFIX)/lib/systemd/system/batond.service'
	$(PLACED) systemd/sysusers.d/baton.conf \
	    | install -D -m 644 /dev/stdin '$(DESTDIR)$(PREFIX)/lib/sysusers.d/baton.conf'
	$(PLACED) systemd/tmpfiles.d/baton.conf \
	    | install -D -m 644 /dev/stdin '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/baton.conf'
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/doc/baton' \
	    $(wildcard README.md ARCHITECTURE.md CHANGELOG.md EVENTS.md) systemd/notify-reload.conf
	@case "$$(ldd '$(BUILD)/batond' '$(BUILD)/baton-host')" in *' /home/'* | *' /root/'*) \
	    echo 'note: these programs need the libraries of a Swift in a home directory, which' \
	        'systemd hides from batond (ProtectHome=): move that Swift, or build with' \
	        "'make SWIFTFLAGS=--static-swift-stdlib'" >&2 ;; \
	esac

bench: build bench-upgrade
	Benchmarks/run

bench-upgrade: build bench-deps
	BUILD='$(abspath $(BUILD))' Benchmarks/upgrade

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests plugins

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests plugins

clean:
	$(SWIFT) package clean
	rm -rf run $(VENV)
