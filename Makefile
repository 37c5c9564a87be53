# rigbus: `make help` lists what there is. Everything runs in .venv; only install (as root) and test-deps
# change anything outside of it.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
PYTEST_ARGS ?=
SERVERS := $(CURDIR)/.venv/servers

.PHONY: help setup install uninstall deploy run test test-deps lint bench lab setup-influxdb verify delete-buckets clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "rigbus needs Python 3.11, 3.12 or 3.13; none was found (PYTHON=/path/to/python3.11 names one)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python has no venv module: on Debian, Ubuntu and Raspberry Pi OS run: sudo apt install python3-venv"; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing rigbus and what it needs into .venv (about half a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[web]'
	@# a wheel or nothing: cyclonedds has none for ARM, and only the robot arm's daemon needs it
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --only-binary cyclonedds -e '.[web,dds]' 2>/dev/null || \
	  echo "no cyclonedds wheel for this machine: the robot arm's daemon does without (how to get it: docs/devices.md); the rest runs"
	@touch $@

.venv/.dev: .venv/.run
	@echo "installing the tools for tests"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv/.influx: .venv/.run
	@$(BIN)/python -c 'import influxdb_client, urllib3' 2>/dev/null || { \
	  echo "installing what InfluxDB needs into .venv"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[influx]'; }
	@touch $@

setup: .venv/.run ## the environment in .venv (run and test do it by themselves)

install: ## sudo make install: services that start at boot; without sudo: .venv and .env in this checkout
	@scripts/install.sh

uninstall: ## take the services away (root); data and configuration stay, but with PURGE=1
	@scripts/uninstall.sh

deploy: ## HOST=pi.local USER=pi: copy this checkout there and install it; shows first what would change
	@scripts/deploy.sh

run: .venv/.run ## the rig on simulated devices, until Ctrl-C; prints the address of its page
	@exec $(BIN)/rigbus run $(if $(RIGBUS_CONFIG),,--config config/rigbus.toml)

test: .venv/.dev ## all tests but the slow ones (SLOW=1: those too)
	@RIGBUS_TEST_SERVERS_PATH="$(SERVERS)/usr/bin" $(BIN)/python -m pytest $(if $(SLOW),,-m "not slow and not lab") $(if $(SLOW),-m "not lab") $(PYTEST_ARGS)

lint: .venv/.dev ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: .venv/.dev ## what rigbus costs, beside a baseline run at the same time
	@RIGBUS_TEST_SERVERS_PATH="$(SERVERS)/usr/bin" $(BIN)/python -m tests.bench

lab: .venv/.dev ## the hardware tests, in a virtual machine with kernel GPIO and systemd (SLOW=1: the long ones too)
	@$(BIN)/python tests/lab/run.py $(if $(SLOW),-m lab) $(PYTEST_ARGS)

setup-influxdb: .venv/.influx ## buckets, Flux tasks and tokens in the InfluxDB of .env; mends what is missing
	@$(BIN)/rigbus influx setup --save

verify: .venv/.influx ## what is there and works, and what mends the rest: devices, services, InfluxDB
	@$(BIN)/rigbus doctor --influx

delete-buckets: .venv/.influx ## delete those buckets with all data, after the word DELETE
	@$(BIN)/rigbus influx delete

test-deps: ## what some tests need (root): apt packages, servers, axe-core, the lab's machine
	@grep -v '^#' tests/apt.txt tests/lab/apt.txt | cut -d: -f2 | sort -u | \
	  { apt-get update -qq && xargs env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends >/dev/null; }
	@command -v npm >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
	@test -e .venv/page-tools/node_modules/axe-core/axe.min.js || { mkdir -p .venv/page-tools && npm install --silent \
	  --prefix .venv/page-tools --no-audit --no-fund --no-save --ignore-scripts axe-core@4.14.1; } || \
	  echo "npm does not get axe-core: its tests skip"
	@# servers are unpacked, not installed: no service is started or enabled
	@for pair in influxdb:influxd victoria-metrics:victoria-metrics prometheus:prometheus; do \
	  package=$${pair%%:*} program=$${pair##*:}; \
	  test -x "$(SERVERS)/usr/bin/$$program" || command -v $$program >/dev/null || { \
	  work=$$(mktemp -d) && mkdir -p "$(SERVERS)" && cd "$$work" && \
	  apt-get -qq -o APT::Sandbox::User=root download $$package && dpkg -x ./*.deb "$(SERVERS)" || \
	  echo "apt has no $$package here: its tests skip"; rm -rf "$$work"; }; done
	@$(MAKE) --no-print-directory .venv/.dev
	@$(BIN)/python tests/lab/run.py --build || true # one line says what this machine lacks

clean: ## remove .venv (never data)
	rm -rf .venv
