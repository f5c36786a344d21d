# SPDX-License-Identifier: MIT OR Apache-2.0
# The front door. CMake, Ninja and tools/setup stand behind it.
PRESET ?= release
PREFIX ?= /usr/local
BUILD := build/$(PRESET)

.PHONY: all
all: ## build the program and libkith.a
	@tools/setup build
	@test -e $(BUILD)/build.ninja || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) --target libkith kith

.PHONY: demo
demo: all ## two nodes move a folder over a post-quantum channel
	@tools/demo $(PRESET)

.PHONY: test
test: ## build and run all tests; only=REGEX picks some, PRESET=asan another build
	@tools/setup test
	@tools/run-tests $(PRESET) $(if $(only),-R $(only))

.PHONY: bench
bench: all ## measure, beside the peers that can be had (ARGS='--quick bulk')
	@cmake --build --preset $(PRESET) --target bench
	@KITH_BUILD=$(BUILD) bench/run $(ARGS)

.PHONY: bench-share
bench-share: all ## measure file sharing beside scp, rsync, syncthing, croc and others (ARGS='--quick file')
	@KITH_BUILD=$(BUILD) bench/share $(ARGS)

.PHONY: soak
soak: ## ten minutes of churn at 500 connections, then 5,000 at once (KITH_SOAK_SECONDS)
	@tools/setup test
	@test -e $(BUILD)/build.ninja || cmake --preset $(PRESET)
	@cmake --build --preset $(PRESET) --target kith tool_crowd
	@KITH_BIN=$(CURDIR)/$(BUILD)/kith KITH_TOOLS=$(CURDIR)/$(BUILD)/test/cli KITH_SOAK_SECONDS=$${KITH_SOAK_SECONDS:-600} \
		test/cli/test_soak.py

.PHONY: sim
sim: all ## simulate a day, and ten thousand nodes (scenario=FILE ARGS='--seed 7 --once')
	@cmake --build --preset $(PRESET) --target simulate
	@$(BUILD)/test/sim/simulate $(ARGS) $(or $(scenario),$(wildcard test/sim/scenarios/*.ini) test/sim/scenarios/large/ten_thousand.ini)

.PHONY: sim-large
sim-large: ## simulate ten thousand nodes of everything, the DHT and gossip too: half an hour of CPU time
	@$(MAKE) sim scenario='$(wildcard test/sim/scenarios/large/*.ini)'

.PHONY: fuzz
fuzz: ## run every fuzz target for a while (KITH_FUZZ_SECONDS, default 30 each)
	@tools/setup ci
	@tools/run-fuzz

.PHONY: coverage
coverage: ## which lines of the core the tests run; fails below 90 % (ARGS='--lines src/node/dialer.c')
	@tools/setup ci
	@tools/coverage $(ARGS)

.PHONY: check
check: ## format, tidy and rules
	@tools/setup ci
	@tools/check-format
	@tools/check-rules
	@tools/check-tidy

.PHONY: guards
guards: ## take away one guard after another: does its test notice? (only=REGEX picks some)
	@tools/setup test
	@tools/check-guards $(only)

.PHONY: format
format: ## rewrite the sources in the house format
	@tools/check-format --fix

.PHONY: install
install: all ## install the program below $(DESTDIR)$(PREFIX)
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX)

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile
