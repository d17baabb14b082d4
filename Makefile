# Flightdeck: build, run and check. `make` alone lists the targets.
# It needs cargo and a C compiler; what else a target needs, it brings along into target/, or installs.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
SHELL := /bin/sh

# rustup puts cargo here, also where no shell profile was read.
export PATH := $(HOME)/.cargo/bin:$(PATH)
export CARGO_TERM_COLOR ?= auto

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

# The newest releases when these lines were written; docs/adr/0006-dependency-checks.md says why cargo-deny is built.
DENY_VERSION := 0.20.2
DENY_ROOT := $(TARGET)/tools/cargo-deny-$(DENY_VERSION)
COPYPARTY_VERSION := 1.20.26

VENV := $(TARGET)/venv
VENV_READY := $(VENV)/.copyparty-$(COPYPARTY_VERSION)

CLIENT := clients/typescript
NODE_OLDEST := 20
# The browser of the client's tests: the one given, else the first that is there.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome || echo /usr/bin/chromium)

# What `make run ARGS="…"` and `make bench ARGS="…"` pass on.
ARGS ?=

# $(call need,<packages of apt>,<what it is>): installs what is missing when that is allowed, else says how to.
define need
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "installing $(1) ($(2))"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; \
	else \
		echo "$(2) is missing: install it (on Debian and Ubuntu: sudo apt-get install $(1)), then run make again" >&2; \
		exit 1; \
	fi
endef

.PHONY: help
help: ## Lists the targets
	@echo 'Flightdeck. Targets:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: tools ## Builds everything for release and starts the demo on 127.0.0.1:8080 (options: ARGS="…")
	@echo 'flightdeck: building for release (minutes the first time, seconds after)'
	@cargo build --release --locked --workspace --bins
	@echo 'flightdeck: starting the demo; its data stays under ./var/demo, Ctrl-C stops it'
	@exec "$(TARGET)/release/flightdeck" demo $(ARGS)

.PHONY: build
build: tools ## Builds everything for development
	@cargo build --locked --workspace --bins

.PHONY: test
test: fmt-check lint deny tests client-tests ## Checks everything: format, clippy, dependencies, all tests
	@echo
	@echo "make test: everything passed: format, clippy, dependencies ($$(cat $(TARGET)/advisories)), tests, documentation tests,"
	@echo 'the TypeScript client against the server, and its page in a browser'

.PHONY: lint
lint: tools ## Runs clippy over all targets; a warning is an error
	@cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: deny
deny: tools ## Checks the dependencies: versions, licenses, sources, known vulnerabilities
	@mkdir -p $(TARGET)
	@case "$$(cargo-deny --version 2>/dev/null)" in \
		'cargo-deny 0.'[2-9][0-9].*) ;; \
		*) if [ ! -x "$(DENY_ROOT)/bin/cargo-deny" ]; then \
			echo 'flightdeck: building cargo-deny $(DENY_VERSION) (once, some two minutes)'; \
			CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --version $(DENY_VERSION) --locked --debug --quiet \
				--root "$(DENY_ROOT)" --target-dir "$(DENY_ROOT)/build" --no-track || exit 1; \
			rm -rf "$(DENY_ROOT)/build"; \
		fi ;; \
	esac
	@PATH="$(DENY_ROOT)/bin:$$PATH"; export PATH; \
	run() { cargo deny --locked --workspace "$$@"; }; \
	echo 'flightdeck: dependencies: versions, licenses, sources'; \
	run --log-level error check --hide-inclusion-graph bans licenses sources || exit 1; \
	home="$${CARGO_HOME:-$$HOME/.cargo}/advisory-dbs"; \
	timeout 60 cargo deny --locked --workspace --log-level off fetch db >/dev/null 2>&1 || true; \
	state='advisories skipped: no database'; \
	for folder in "$$home"/advisory-db-*; do \
		[ ! -d "$$folder/crates" ] || state="advisories of $$(git -C "$$folder" log -1 --format=%cs)"; \
	done; \
	case "$$state" in \
		*skipped*) echo 'flightdeck: dependencies: ADVISORIES NOT CHECKED: the RustSec database can not be fetched, and there is no copy' \
			"in $$home; run 'make deny' where github.com can be reached" ;; \
		*) echo "flightdeck: dependencies: $$state"; run --offline check --hide-inclusion-graph advisories || exit 1 ;; \
	esac; \
	echo "$$state" >"$(TARGET)/advisories"

# The programs that the tests run are built with them, in one go: cargo builds a package's programs for its tests.
.PHONY: tests
tests: tools $(VENV_READY) ## Runs all tests, without the other checks of `make test`
	@COPYPARTY_PYTHON="$(VENV)/bin/python"; export COPYPARTY_PYTHON; \
	if command -v cargo-nextest >/dev/null 2>&1; then \
		cargo nextest run --locked --workspace --no-fail-fast && cargo test --locked --workspace --doc --quiet; \
	else \
		cargo test --locked --workspace --no-fail-fast; \
	fi

.PHONY: client
client: build client-tests ## Tests the TypeScript client against the server, and its page in a browser

# With the server that is built already: after `tests` there is nothing to build again.
.PHONY: client-tests
client-tests: browser $(CLIENT)/node_modules/.package-lock.json
	@echo 'flightdeck: the TypeScript client: its types, its tests against the server, its page in a browser'
	@cd $(CLIENT) && FLIGHTDECK_BIN="$(TARGET)/debug/flightdeck" CHROMIUM="$(CHROMIUM)" npm test --silent

$(CLIENT)/node_modules/.package-lock.json: $(CLIENT)/package.json $(CLIENT)/package-lock.json | node
	@echo 'flightdeck: the TypeScript client: installing what its tests need (npm ci)'
	@cd $(CLIENT) && npm ci --loglevel=error --no-audit --no-fund
	@touch "$@"

.PHONY: bench
bench: tools ## Measures deliveries, memory and durable commands against a server it starts (options: ARGS="…")
	@cargo build --release --locked --workspace --bins
	@cargo run --release --locked -p flightdeck-loadtest -- bench $(ARGS)

.PHONY: fmt
fmt: tools ## Formats all sources
	@cargo fmt --all

.PHONY: fmt-check
fmt-check: tools
	@cargo fmt --all --check || { echo "not formatted: run 'make fmt'" >&2; exit 1; }

.PHONY: clean
clean: ## Removes what was built; the demo's data under ./var stays
	@cargo clean

# cargo and a C compiler (for ring, which speaks TLS).
.PHONY: tools
tools:
	@command -v cargo >/dev/null 2>&1 || { \
		echo 'cargo is missing: install Rust 1.91 or newer from https://rustup.rs, then run make again' >&2; exit 1; }
	@if ! command -v cc >/dev/null 2>&1; then $(call need,gcc libc6-dev,a C compiler); fi

# Node and npm, for the TypeScript client and its tests.
.PHONY: node
node:
	@if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then $(call need,nodejs npm,Node with npm); fi
	@node -e 'process.exit(parseInt(process.versions.node) < $(NODE_OLDEST) ? 1 : 0)' || { \
		echo "node is $$(node --version): install Node $(NODE_OLDEST) or newer from https://nodejs.org, then run make again" >&2; exit 1; }

# A browser, for the page of the TypeScript client.
.PHONY: browser
browser:
	@if ! command -v "$(CHROMIUM)" >/dev/null 2>&1; then $(call need,chromium,the browser $(CHROMIUM)); fi

# copyparty: a file server that is not ours, for the test that retrieves documents from a foreign portal.
$(VENV_READY):
	@rm -rf "$(VENV)"
	@if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then $(call need,python3 python3-venv,Python 3 with venv); fi
	@echo 'flightdeck: setting up copyparty $(COPYPARTY_VERSION) for the foreign portal of the tests'
	@python3 -m venv "$(VENV)"
	@"$(VENV)/bin/python" -m pip install --quiet --disable-pip-version-check --no-input copyparty==$(COPYPARTY_VERSION)
	@touch "$@"
