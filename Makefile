# One word for all that one does twice. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# each target that `make help` lists
.PHONY: $(shell grep -oE '^[a-z][a-z-]*:.*[#][#]' $(firstword $(MAKEFILE_LIST)) | cut -d: -f1)

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/.ready ## Make .venv with the locked dependencies

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Merit needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: setup ## A gateway, three simulated providers, real requests; ARGS=--once ends by itself
	$(BIN)/python examples/quickstart/demo.py $(ARGS)

test: check ## All tests, with a real Kubernetes; ends with pytest's closing line
	tests/redis/install.sh
	tests/cluster/lab/build.sh
	$(BIN)/python -m pytest $(ARGS)

unit: setup ## The quick tests: no cluster, no processes, no real time-outs
	$(BIN)/python -m pytest tests/unit tests/golden -m 'not slow' -n 4 --dist worksteal $(ARGS)

cluster-test: setup ## The tests that need Kubernetes (KUBECONFIG's, or one that is brought up here)
	tests/cluster/lab/build.sh
	$(BIN)/python -m pytest -m cluster $(ARGS)

check: setup ## Format, lint, types, import contracts, generated files
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m merit_crds.generate --check

format: setup ## Format and fix what can be fixed
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix --quiet . || true

generate: setup ## Write the CRDs, their copies in the charts, and the reference
	$(BIN)/python -m merit_crds.generate

golden: setup ## Rewrite the golden cases of compile; read the diff before you commit
	MERIT_UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/unit/crds -q

bench: setup ## Measure, write bench/results.json; ARGS='--baseline old.json' compares
	$(BIN)/python bench/run.py $(ARGS)

BEFORE_DIR ?= /tmp/merit-before

bench-before: setup ## The path whose bytes pass, beside an older version's; BEFORE=COMMIT
	test -e $(BEFORE_DIR) || git worktree add --detach $(BEFORE_DIR) $(BEFORE)
	git -C $(BEFORE_DIR) checkout --quiet --detach $(BEFORE)
	$(MAKE) -C $(BEFORE_DIR) setup
	$(BIN)/python bench/run.py --only protocols --before $(BEFORE_DIR)/.venv/bin/merit $(ARGS)

bench-against: setup ## CPU per request beside an earlier commit's; ARGS='--commit C --pairs N'
	$(BIN)/python bench/against.py $(ARGS)

bench-streams: setup ## 10,000 streams open at once; ARGS='--streams N'
	$(BIN)/python bench/open_streams.py $(ARGS)

soak: setup ## Mixed traffic: does memory become flat? ARGS='--minutes N'
	$(BIN)/python bench/soak.py $(ARGS)

bench-ranking: setup ## Time the merit order alone
	$(BIN)/python bench/ranking.py $(ARGS)

bench-commitments: setup ## A month of a prepaid volume under four rules of pacing; ARGS='--data DIR'
	$(BIN)/python bench/commitments.py $(ARGS)

bench-pairs: setup ## Rank every pair of a price list, write docs/pairs.md; ARGS='--data DIR'
	$(BIN)/python bench/pairs.py $(ARGS)

bench-failover: setup ## The 16 faults of Failover Bench; ARGS=--install gets LiteLLM and Portkey first
	$(BIN)/python bench/failover/run.py $(ARGS)

bench-outages: setup ## A region lost, rate limits, a brown-out and worse, under load
	$(BIN)/python bench/failover/scenarios.py $(ARGS)

fault-matrix: setup ## Every fault at every moment, with its accounts; writes docs/fault-matrix.md
	$(BIN)/python -m tests.support.fault_matrix.page
	$(BIN)/python -m pytest -q tests/process/test_fault_matrix.py $(ARGS)

cache-replay: setup ## Replay a support desk against the exact cache, write docs/cache.md; ARGS='--litellm PROGRAM'
	$(BIN)/python bench/cache_replay.py $(ARGS)

stems-replay: setup ## Replay a support desk against stems, write docs/stems-replay.md; ARGS='--passes 5'
	$(BIN)/python bench/stems_replay.py $(ARGS)

semantic-replay: setup ## What a semantic layer saves and gets wrong, with a real embedding model, write docs/semantic-replay.md
	$(BIN)/python bench/semantic_replay.py $(ARGS)

price-cut: setup ## Cut prices under load on a real Kubernetes, write docs/price-cut.md
	$(BIN)/python bench/price_cut.py $(ARGS)

fidelity: setup ## Replay all recorded exchanges through a gateway by the SDKs, write docs/fidelity.md; ARGS=--no-node
	$(BIN)/python bench/fidelity.py $(ARGS)

fuzz: setup ## Fuzz what reads bytes of providers and clients, a minute each (atheris: Python 3.11 to 3.13); ARGS=-max_total_time=600
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3"
	for target in streams answers requests codings; do $(BIN)/python tests/fuzz/fuzz.py $$target $(ARGS); done

finsync: setup ## Replay two years of prices, write docs/finsync.md; ARGS='--data DIR' where the traces are
	$(BIN)/python bench/finsync.py $(ARGS)

warm-prompts: setup ## Replay Mooncake's traces, write docs/warm-prompts.md; ARGS='--data DIR' where the traces are
	$(BIN)/python bench/warm_prompts.py $(ARGS)

images: setup ## Build the images without a Docker engine
	$(BIN)/python tests/cluster/lab/images.py

lock: setup ## Resolve requirements.lock anew
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --upgrade -o requirements.lock

clean: ## Remove what was made here
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
