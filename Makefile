# Two commands: `make demo` and `make test`. Both set themselves up; only Python 3.11+ is needed.
PYTHON ?= python3
UV     := .venv/bin/uv
RUN    := .venv/bin

.PHONY: demo test check bench standard standard-lowest nightly toxiproxy clean

demo: .venv/ready
	$(RUN)/prodtest demo $(ARGS)

test: .venv/ready
	$(RUN)/python -m pytest $(ARGS)

check: .venv/ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

bench: .venv/ready
	@for file in tests/benchmarks/bench_*.py; do $(RUN)/python $$file || exit 1; done

.venv/ready: pyproject.toml uv.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(RUN)/pip install --quiet --disable-pip-version-check uv==0.13.8
	$(UV) sync --quiet --frozen --inexact
	touch $@

# LangChain's own standard tests against the fake providers, in an environment of their own.
standard: .venv-standard/ready
	.venv-standard/bin/python -m pytest tests/standard --junitxml=.venv-standard/results.xml $(ARGS)
	.venv-standard/bin/python -m tests.standard.table .venv-standard/results.xml

.venv-standard/ready: .venv/ready
	UV_PROJECT_ENVIRONMENT=.venv-standard $(UV) sync --quiet --frozen --group standard
	touch $@

# The same clients with the lowest SDKs that they accept: they describe and raise other things.
LOWEST := $(addprefix tests/wire/test_,openai.py responses.py azure.py anthropic.py clients.py clients_openai.py \
  clients_anthropic.py conformance.py)
LOWEST_SUITES := $(addprefix tests/standard/test_,openai.py azure.py anthropic.py)
standard-lowest: .venv-lowest/ready
	.venv-lowest/bin/python -m pytest $(LOWEST) $(LOWEST_SUITES) $(ARGS)

.venv-lowest/ready: .venv/ready tests/standard/lowest.txt
	UV_PROJECT_ENVIRONMENT=.venv-lowest $(UV) sync --quiet --frozen --group standard
	$(UV) pip install --quiet --python .venv-lowest/bin/python --requirement tests/standard/lowest.txt
	$(UV) pip check --quiet --python .venv-lowest/bin/python
	touch $@

# Suites, fuzzers and benchmarks that are too long for each run; ARGS names parts of it.
nightly: .venv-standard/ready .venv-lowest/ready toxiproxy
	tests/nightly.sh $(ARGS)

# The real Toxiproxy, by the Go tool chain; tests and experiments use it when it is on PATH.
toxiproxy: .venv/toxiproxy/toxiproxy-server
.venv/toxiproxy/toxiproxy-server:
	mkdir -p .venv/toxiproxy
	GOBIN=$(CURDIR)/.venv/toxiproxy go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0
	mv .venv/toxiproxy/server $@

clean:
	rm -rf .venv .venv-standard .venv-lowest dist .prodtest
