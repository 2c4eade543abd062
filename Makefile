# What a developer runs. `python3 quickstart.py test` makes the environment that these use.
PYTHON ?= .venv/bin/python
BIN := $(dir $(PYTHON))

.PHONY: check static test run schema lock

check: static test  ## everything that has to pass

static:  ## format, lint, types, imports, documents
	$(BIN)ruff format --check .
	$(BIN)ruff check .
	$(BIN)pyright
	$(BIN)lint-imports
	$(BIN)check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(PYTHON) -m gateway schema check

test:
	python3 quickstart.py test

run:
	python3 quickstart.py

schema:  ## write the schema that the code serves
	$(PYTHON) -m gateway schema export > schema/schema.graphql

lock:  ## resolve the requirements anew
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements/run.lock
	uv pip compile -q pyproject.toml --group dev -c requirements/run.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements/dev.lock
