# Everything a developer does, and what CI runs. `make` alone lists the targets.
#
# Tests and lints share the dev profile, which builds fast; what is measured or shown is built with `--release`.

CARGO := cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help setup libtorch postgres demo test lint bench chaos clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

setup: libtorch postgres ## fetch libtorch into .libtorch/ (once; LIBTORCH=DIR uses yours), and PostgreSQL for its tests

libtorch:
	@scripts/setup-libtorch.sh

postgres:
	@scripts/postgres.sh setup

demo: libtorch ## one stream, four answers: build, simulate a shop, train on its first weeks, answer the rest
	$(CARGO) build --release -p shop
	$(CARGO) run --release -q -p shop -- demo

test: setup ## every test
	$(CARGO) test --workspace --exclude tidemill-workbench

lint: libtorch ## formatting, clippy and docs, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

bench: libtorch ## what models cost beside plain loops, and a table of what every operator costs
	$(CARGO) bench --workspace --bench '*'

KILLS ?= 100

REPORT := $(CURDIR)/target/chaos-report.txt

chaos: setup ## every fault there is a test for: KILLS of each kind (100), from SEED (1), and a table of them at the end
	@rm -f $(REPORT)
	TIDEMILL_KILLS=$(KILLS) TIDEMILL_SEED=$(or $(SEED),1) TIDEMILL_REPORT=$(REPORT) \
		$(CARGO) test --release -p tidemill-tests --test chaos -- --test-threads 1; \
		code=$$?; echo; cat $(REPORT); exit $$code

clean: ## everything that was built or generated, libtorch too
	$(CARGO) clean
	rm -rf .libtorch data
