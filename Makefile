# Thin on purpose: the work is in cargo and in scripts/.
#
#   make run       build and start the service, print requests that work
#   make test      everything that must be green: format, lints, tests, generated files
#   make lint      format and lints only
#   make openapi   write the generated files: OpenAPI, config schemas, docs/CONNECTORS.md
#   make bench     measure against COPY, write docs/BENCHMARKS.md

CARGO ?= cargo
TARGET = $(shell $(CARGO) metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

.PHONY: run test lint build openapi bench

run:
	@scripts/install-deps run
	$(CARGO) build --locked --workspace --bins
	@scripts/run $(TARGET)/debug/weir

build:
	$(CARGO) build --locked --workspace --bins

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

test:
	@scripts/install-deps test
	@$(MAKE) --no-print-directory lint
	@scripts/run-tests

openapi: build
	$(TARGET)/debug/generate

bench:
	@scripts/install-deps test
	scripts/bench-load
