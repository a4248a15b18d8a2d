# make run     the exporter with made-up data, at http://localhost:10114 (ARGS='…' for other arguments)
# make test    every test, those against moto, Prometheus and Chromium too; fetches these first, into target/
# make test-prometheus3    the tests in which Prometheus takes part, once more with a Prometheus 3; fetches that too
# make lint    formatting, lints, documentation, dependencies, and what is shipped in deploy/
# make bench   what refreshes (of one account and of a thousand), scrapes and pages cost, as tables; fetches what that needs
# make fmt     formats the source

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test
.PHONY: run test test-prometheus3 test-setup lint lint-source lint-docs lint-deps lint-deploy lint-scripts lint-fuzz bench fmt 

TOOLS := $(CURDIR)/target/tools
VENV := $(CURDIR)/target/venv
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

ARGS ?= --source=demo

run:
	cargo run --locked -- $(ARGS)

# The examples in the documentation have a run of their own: --include-ignored would run those marked `ignore` too.
test test-prometheus3: export IAM_KEY_EXPORTER_TEST_TOOLS := $(TOOLS)
test test-prometheus3: export IAM_KEY_EXPORTER_TEST_VENV := $(VENV)
test: test-setup
	cargo test --locked --no-fail-fast --tests -- --include-ignored
	cargo test --locked --doc

test-prometheus3: export IAM_KEY_EXPORTER_TEST_PROMETHEUS := $(TOOLS)/prometheus3/bin/prometheus
test-prometheus3: test-setup
	tests/real/setup-prometheus3
	cargo test --locked --no-fail-fast --test real_alerts --test rules_real --test dashboards_real -- --include-ignored
	cargo test --locked --no-fail-fast --test real_parts -- --include-ignored prometheus promtool the_shipped_scrape_job

test-setup:
	tests/real/setup

lint: lint-source lint-docs lint-deps lint-deploy lint-scripts lint-fuzz

lint-source:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

lint-docs: export RUSTDOCFLAGS := -D warnings
lint-docs:
	cargo doc --locked --no-deps

# Without `advisories`: see deny.toml.
lint-deps: $(CARGO_DENY)
	$(CARGO_DENY) --locked check --hide-inclusion-graph licenses bans sources

lint-deploy: test-setup
	$(TOOLS)/bin/promtool check config deploy/prometheus/prometheus.yml
	$(TOOLS)/bin/amtool check-config deploy/alertmanager/alertmanager.yml
	for policy in deploy/aws/*.json; do \
	  python3 -m json.tool "$$policy" >/dev/null || { echo "$$policy is not JSON" >&2; exit 1; }; \
	done

lint-scripts:
	if command -v shellcheck >/dev/null; then \
	  shellcheck .ci/run tests/real/setup tests/real/setup-prometheus3; \
	else \
	  echo "shellcheck is not installed: the scripts were not checked" >&2; \
	fi

# The fuzzed modules are links: one that is moved, or needs more, is noticed here.
lint-fuzz:
	cargo check --locked --manifest-path fuzz/Cargo.toml --lib --target-dir target

bench: export IAM_KEY_EXPORTER_TEST_VENV := $(VENV)
bench: export IAM_KEY_EXPORTER_TEST_TOOLS := $(TOOLS)
bench:
	tests/real/setup bench
	cargo bench --locked --bench refresh --bench fleet --bench scrape --bench check --bench page --bench web

fmt:
	cargo fmt

$(CARGO_DENY):
	cargo install --quiet --locked cargo-deny --version $(CARGO_DENY_VERSION) --root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)
