# What one does with this repository. `make` alone builds.
#
#   make run       builds, then runs batond in this terminal with the services ping and counter
#   make test      builds and runs every test
#   make install   DESTDIR= PREFIX=/usr
#   make bench     compares with the peers, side by side
#   make format    rewrites the Swift sources in the house style;  make lint  only complains
#   make clean

PREFIX ?= /usr
DESTDIR ?=
SWIFT ?= swift

BIN := .build/release
VENV := .build/venv
PACKAGES := libsystemd-dev pkg-config socat redis-tools systemd-container python3-venv

.DEFAULT_GOAL := build
.PHONY: deps build run test venv install bench format lint clean

# The Debian packages that are missing, if any.
deps:
	@missing=$$(for package in $(PACKAGES); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed \
	        || echo $$package; \
	done); \
	[ -z "$$missing" ] && exit 0; \
	echo "installing" $$missing; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	install() { \
	    DEBIAN_FRONTEND=noninteractive \
	        $$sudo apt-get install -y --no-install-recommends $$missing; \
	}; \
	install || { $$sudo apt-get update && install; }

build: deps
	$(SWIFT) build -c release

# The directories are this user's alone to write: batond refuses others. An image is copied under a
# temporary name and renamed, because a plugin file is never to be seen half written.
run: build
	@umask 022; \
	run='$(CURDIR)/run'; \
	mkdir -p "$$run/plugins" "$$run/state" "$$run/runtime"; \
	for name in ping counter; do \
	    cp $(BIN)/lib$$name.so "$$run/plugins/.$$name.new"; \
	    mv "$$run/plugins/.$$name.new" "$$run/plugins/$$name.so"; \
	done; \
	printf '%s\n' \
	    '' \
	    'In a second terminal, in this directory:' \
	    '' \
	    '    echo ping | socat -t5 - UNIX-CONNECT:run/runtime/services/ping.sock' \
	    '    echo 5 | socat -t5 - UNIX-CONNECT:run/runtime/services/counter.sock' \
	    '    $(BIN)/baton status --runtime run/runtime' \
	    '' \
	    'Upgrade ping to version 2 while it runs:' \
	    '' \
	    '    cp $(BIN)/libping-2.so run/plugins/.ping.new' \
	    '    mv run/plugins/.ping.new run/plugins/ping.so' \
	    "    kill -HUP $$$$" \
	    '' \
	    'Control-C ends it.' \
	    ''; \
	exec $(BIN)/batond --plugins "$$run/plugins" --state "$$run/state" --runtime "$$run/runtime"

test: deps venv
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release

# redis-py, for the test that talks to Baton with it.
venv: deps
	@$(VENV)/bin/python -c 'import redis' 2>/dev/null \
	    || { python3 -m venv $(VENV) && $(VENV)/bin/pip install --quiet redis; } \
	    || echo 'no redis-py: the test that needs it will say so' >&2

# The files of systemd name paths below /usr.
PLACED = sed 's|/usr/|$(PREFIX)/|g'

install: build
	install -d '$(DESTDIR)$(PREFIX)/lib/baton/plugins'
	install -D -m 755 -t '$(DESTDIR)$(PREFIX)/bin' $(BIN)/batond $(BIN)/baton
	install -D -m 755 -t '$(DESTDIR)$(PREFIX)/libexec/baton' $(BIN)/baton-host
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/include' Sources/CBaton/include/baton.h
	$(PLACED) systemd/batond.service \
	    | install -D -m 644 /dev/stdin '$(DESTDIR)$(PREFIX)/lib/systemd/system/batond.service'
	$(PLACED) systemd/sysusers.d/baton.conf \
	    | install -D -m 644 /dev/stdin '$(DESTDIR)$(PREFIX)/lib/sysusers.d/baton.conf'
	$(PLACED) systemd/tmpfiles.d/baton.conf \
	    | install -D -m 644 /dev/stdin '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/baton.conf'
	install -D -m 644 -t '$(DESTDIR)$(PREFIX)/share/doc/baton' \
	    $(wildcard README.md ARCHITECTURE.md CHANGELOG.md) systemd/notify-reload.conf

bench: build
	@if [ -x Benchmarks/run ]; then exec Benchmarks/run; \
	else echo 'Benchmarks/run is missing' >&2; exit 1; fi

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests plugins

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests plugins

clean:
	$(SWIFT) package clean
	rm -rf run $(VENV)
