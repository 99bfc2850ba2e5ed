# Everything a fresh machine needs is made in .venv: Python 3.11 or later with its venv module, make.
# PYTHON=python3.13 make setup takes another interpreter than python3.

PYTHON ?= python3
FUZZ_SECONDS ?= 1800
TEST_CORES ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
FUZZER := $(VENV)/fuzzer
LOCKS  := requirements/build.txt requirements/dev.txt

# The names are Debian's and Ubuntu's. What is missing skips the tests that use it.
PACKAGES := spin gcc libc6-dev strace dcmtk
INSTALL  := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES)

# Unpacked, not installed: an installed Prometheus or clamd would start a service.
# $(1): the package; $(2): the programs wanted of it; $(3): what else is to be done with it.
UNPACK = ( aside=$$(mktemp -d) && trap 'rm -rf "$$aside"' EXIT && cd "$$aside" \
	&& { apt-get download -qq $(1) || { apt-get update -qq && apt-get download -qq $(1); }; } \
	&& dpkg-deb -x $(1)_*.deb . && cp $(2) "$(CURDIR)/$(BIN)/" $(if $(3),&& $(3)) \
	) >/dev/null 2>&1
# Alertmanager finds its templates there and nowhere else.
TEMPLATES = mkdir -p /usr/share/prometheus && cp -r usr/share/prometheus/alertmanager /usr/share/prometheus/
# The libraries that clamd runs with start nothing.
CLAMD_LIBRARIES = DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	$$(apt-cache depends clamav-daemon | sed -n 's/^ *Depends: \(lib[^<]*\)$$/\1/p') >/dev/null 2>&1

# c-icap asks clamd; it runs from where it is unpacked, with the libraries of the system.
C_ICAP = ( aside=$$(mktemp -d) && trap 'rm -rf "$$aside"' EXIT && cd "$$aside" \
	&& apt-get download -qq c-icap libc-icap-mod-virus-scan \
	&& for each in *.deb; do dpkg-deb -x "$$each" c-icap || exit 1; done \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  $$(apt-cache depends c-icap | sed -n 's/^ *Depends: \(lib[^<]*\)$$/\1/p') \
	&& rm -rf "$(CURDIR)/$(VENV)/c-icap" && cp -r c-icap "$(CURDIR)/$(VENV)/" \
	) >/dev/null 2>&1

# The hosts and options of whoever made the lock files must not stand in them: pip's own
# configuration says where packages come from.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes \
	--strip-extras --allow-unsafe --no-annotate --no-emit-options \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# Brackets keep the patterns from finding themselves. A path counts only where it begins.
MACHINE_PATHS  := (^|[^A-Za-z0-9_.-])/([w]ork|[r]oot|[h]ome/[a-z][a-z0-9_-]*)/
REGISTRY_HOSTS := [p]ypi\.(org|python\.org)|[p]ythonhosted\.org|--([e]xtra-)?index-url[ =]|--[t]rusted-host[ =]|--[f]ind-links[ =]

# The suite starts hundreds of agents; each would compile all its modules anew, for half a second.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup packages lint test test-versions test-packages test-boot demo fuzz bench bench-quick deb bundle lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' \
	  | while IFS='|' read -r name words; do printf '  make %-12s %s\n' "$$name" "$$words"; done

setup: $(STAMP) ## Install what everything else needs into .venv (done by the others by itself)

$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' is missing or older than Python 3.11. Install Python 3.11 or later" >&2; \
	  echo "      (Debian, Ubuntu: apt install python3 python3-venv; openEuler, RHEL: dnf install python3.11)," >&2; \
	  echo "      or name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "make: '$(PYTHON) -m venv' failed; its venv module is not installed." >&2; \
	  echo "      Debian, Ubuntu: apt install python3-venv; openEuler, RHEL: it comes with python3." >&2; \
	  rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  $(addprefix -r ,$(LOCKS))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

packages: setup ## Install what tests use beside Python, if root may (done by test by itself)
	@{ command -v spin && command -v strace && command -v storescu && { command -v gcc || command -v cc; }; } >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { $(INSTALL) || { apt-get update -qq && $(INSTALL); }; } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "make: tests of the model, of failing disks and with dcmtk are left out; install $(PACKAGES) for them"
	@{ command -v prometheus && command -v promtool; } >/dev/null || test -x $(BIN)/promtool \
	  || $(call UNPACK,prometheus,usr/bin/prometheus usr/bin/promtool) \
	  || echo "make: tests with Prometheus are left out; install the package prometheus for them"
	@{ command -v prometheus-alertmanager || test -x $(BIN)/prometheus-alertmanager; } >/dev/null \
	  || { test "$$(id -u)" = 0 \
	       && $(call UNPACK,prometheus-alertmanager,usr/bin/prometheus-alertmanager,$(TEMPLATES)); } \
	  || echo "make: a test with Alertmanager is left out; install prometheus-alertmanager for it"
	@{ command -v clamd || test -x /usr/sbin/clamd || test -x $(BIN)/clamd; } >/dev/null \
	  || { test "$$(id -u)" = 0 && $(call UNPACK,clamav-daemon,usr/sbin/clamd) && $(CLAMD_LIBRARIES); } \
	  || echo "make: tests with a virus scanner are left out; install the package clamav-daemon for them"
	@test -x $(VENV)/c-icap/usr/bin/c-icap || { test "$$(id -u)" = 0 && $(C_ICAP); } \
	  || echo "make: tests with an ICAP server are left out (c-icap, libc-icap-mod-virus-scan)"

lint: setup ## Style, format, types, who imports whom, no traces of a machine in tracked files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then \
	  echo "no git checkout: the search for machine paths and registry hosts is left out"; \
	elif git grep -nIE -e '$(MACHINE_PATHS)' -e '$(REGISTRY_HOSTS)'; then \
	  echo "make: tracked files name a path of one machine, or where packages come from" >&2; exit 1; \
	fi

test: setup packages ## The whole test suite, on two cores (ARGS="tests/unit -k name" for a part)
	$(BIN)/python -m pytest --numprocesses $(TEST_CORES) --dist loadfile --no-loadscope-reorder $(ARGS)

deb: setup ## Debian packages of both agents, for Debian 12 and 13, in dist/
	$(BIN)/python -m deploy.debian.build

bundle: setup ## The packages, and what else two hosts without a network need (root)
	$(BIN)/python -m deploy.debian.bundle

test-packages: bundle ## Install, use and purge the bundle on bare Debian 12 and 13, offline (root)
	FERRY_BUNDLE=1 $(BIN)/python -m pytest tests/packages/test_installation.py $(ARGS)

test-versions: setup ## Up by one version and back, process by process, under traffic (before each release)
	FERRY_VERSIONS=1 $(BIN)/python -m pytest tests/upgrade/test_one_version_back.py

test-boot: bundle ## Two hosts without a network device booted by systemd, messages cross (root)
	FERRY_BUNDLE=1 $(BIN)/python -m pytest tests/packages/test_boot.py $(ARGS)

demo: setup ## Both agents and a small hospital around them, for a minute
	$(BIN)/python -m deploy.demo.demo

# Atheris has wheels for Linux on x86_64 alone: elsewhere nothing is fuzzed, and it says so. It lies
# aside: what is in the environment itself goes into the packages' list of licences.
$(FUZZER)/.installed: $(STAMP) requirements/fuzz.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --upgrade \
	  --target $(FUZZER) -r requirements/fuzz.txt
	@mkdir -p $(FUZZER) && touch $@

fuzz: $(FUZZER)/.installed ## Coverage-guided fuzzing, half an hour a harness (HARNESSES="hl7v2 fhir" FUZZ_SECONDS=60)
	PYTHONPATH=$(FUZZER) $(BIN)/python -m tests.fuzz.run $(HARNESSES) --seconds $(FUZZ_SECONDS)

bench: setup ## Latency and throughput beside the floors; writes bench/results.json
	$(BIN)/python -m bench.run

bench-quick: setup ## The same in two minutes, held against stored bounds: ratios to floors, wide ones
	$(BIN)/python -m bench.run --quick --out bench/work/quick.json
	$(BIN)/python -m bench.bounds bench/work/quick.json

lock: setup ## Choose the newest allowed versions anew; writes requirements/*.txt
	$(COMPILE) --upgrade --output-file requirements/build.txt requirements/build.in
	$(COMPILE) --upgrade --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) --upgrade --extra dev --constraint requirements/runtime.txt \
	  --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --upgrade --output-file requirements/fuzz.txt requirements/fuzz.in

clean: ## Remove .venv, caches and what runs left behind
	rm -rf $(VENV) build dist *.egg-info demo-run bench/work \
	  .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
