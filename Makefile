# `make test` is the one test command. The target directory lies outside of the checkout, so that compiled dependencies
# survive a fresh clone.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/farthing/target

NEXTEST := $(shell command -v cargo-nextest)
RUN_TESTS = $(if $(NEXTEST),cargo nextest run,cargo test)

.PHONY: test simulation quick test-clients lint docs build

# Everything, on SQLite and on a real PostgreSQL: see tests/with-postgres for where that comes from.
test:
	tests/with-postgres $(RUN_TESTS) --locked

# Years of a book in a minute, on both databases; FARTHING_SIMULATION_S=3600 for as long as you like.
simulation: export FARTHING_SIMULATION_S ?= 60
simulation:
	tests/with-postgres $(RUN_TESTS) --locked simulation

# All tests without polars: builds in a fraction of the time.
quick:
	tests/with-postgres $(RUN_TESTS) --locked --no-default-features

# Real clients of other people's making, and our own for LiteLLM, against the program: see tests/clients/run for what it needs.
test-clients:
	tests/clients/run

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --no-default-features

build:
	cargo build --locked --release
