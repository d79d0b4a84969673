# SPDX-License-Identifier: Apache-2.0
# Builds Comanda out of tree in $(BUILD). `make help` lists the targets.

# What ./configure.sh was told (PREFIX, NGINX_SOURCE); everything has a default.
-include build/config.mk
BUILD ?= $(if $(SANITIZE),build/sanitize,$(if $(DEBUG),build/debug,build))
CC ?= gcc
PREFIX ?= /usr/local
DESTDIR ?=
NGINX_SOURCE ?= /usr/share/nginx/src
PKGS := libpq librabbitmq hiredis libcrypto libmicrohttpd
# Tests compare our JSON with another's.
TEST_PKGS := libcjson

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wvla -Wformat=2
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIC
LD_HARDENING := -Wl,-z,relro,-z,now -Wl,--as-needed
OPTIMISE := -O2 -g
ifdef DEBUG
OPTIMISE := -O0 -g3
HARDENING := -fPIC
endif
ifdef SANITIZE
OPTIMISE := -O1 -g1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined
HARDENING := -fPIC
LDFLAGS += -fsanitize=$(SANITIZE)
endif

PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
TEST_LIBS := $(shell pkg-config --libs $(TEST_PKGS) 2>/dev/null)
CFLAGS_ALL := -std=gnu11 $(OPTIMISE) $(WARNINGS) $(HARDENING) -Icommon -Iworkers -Itests -MMD -MP \
              $(PKG_CFLAGS) $(CFLAGS)
LDFLAGS_ALL := $(LD_HARDENING) $(LDFLAGS)

# One short line a step; V=1 shows whole commands.
Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@echo '  $(1)	$@')

LAYERS := base domain application infrastructure
layer_sources = $(shell find common/$(1) -name '*.c' 2>/dev/null | sort)
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# The registry names the shop's contexts; programs link it themselves, tests may link another.
REGISTRY := common/domain/registry.c
LIBS := $(foreach layer,$(LAYERS),$(BUILD)/lib/libcomanda_$(layer).a)
# Inner layers last, so that each finds what it uses.
LINK_LIBS := $(BUILD)/lib/libcomanda_infrastructure.a $(BUILD)/lib/libcomanda_application.a \
             $(BUILD)/lib/libcomanda_domain.a $(BUILD)/lib/libcomanda_base.a

RUNTIME_SOURCES := $(shell find workers/runtime -name '*.c' 2>/dev/null | sort)
WORKER_NAMES := $(filter-out runtime comandactl,$(notdir $(patsubst %/,%,$(dir $(wildcard workers/*/*.c)))))
WORKER_NAMES := $(sort $(WORKER_NAMES))
WORKERS := $(foreach name,$(WORKER_NAMES),$(BUILD)/bin/comanda-$(name))
CTL := $(if $(wildcard workers/comandactl/*.c),$(BUILD)/bin/comandactl)

UNIT_SOURCES := $(shell find tests/unit -name '*_test.c' 2>/dev/null | sort)
CONTRACT_SOURCES := $(shell find tests/contract -name '*_test.c' 2>/dev/null | sort)
TEST_SUPPORT := $(shell find tests/support -name '*.c' 2>/dev/null | sort)
# The context that is no shop: the seam's proof goes through engine, edge and worker with it.
SEAM_SOURCES := $(shell find tests/contexts -name '*.c' 2>/dev/null | sort)
UNIT_TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SOURCES))
# Tests that fail in each way there is, for the test of what runs the tests.
PLANTED_SOURCES := tests/unit/support/planted.c
PLANTED_TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(PLANTED_SOURCES))
CONTRACT_TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(CONTRACT_SOURCES))
SEAM_WORKERS := $(if $(SEAM_SOURCES),$(foreach name,$(WORKER_NAMES),$(BUILD)/seam/bin/comanda-$(name)) \
                $(if $(CTL),$(BUILD)/seam/bin/comandactl))

# Two nginx modules from one tree: the guard, and what it guards, which needs the guard at run time.
GUARD_SOURCES := $(wildcard $(foreach room,core observe request answer guard,ngx_module/$(room)/*.c))
STORE_SOURCES := $(wildcard $(foreach room,core store serve,ngx_module/$(room)/*.c))
MODULE_NAMES := ngx_http_comanda_guard_module ngx_http_comanda_module
MODULE := $(foreach name,$(MODULE_NAMES),$(BUILD)/module/$(name).so)
SEAM_MODULE := $(if $(SEAM_SOURCES),$(foreach name,$(MODULE_NAMES),$(BUILD)/seam/module/$(name).so))

CHECK = scripts/check --build $(BUILD) --make-variables "$(MAKEOVERRIDES)"
CHECKS := lint unit contract integration e2e valgrind sanitize demo-test
# What takes longest begins first and what is short fills the end; the sanitized daemons come when the
# integration tests have left the servers.
IN_LANES := integration contract sanitize e2e storm demo-test unit lint valgrind

.PHONY: all libs workers module tests seam install check $(CHECKS) bench storm fuzz demo stop format clean help
# A sanitized module would need a sanitized nginx.
all: libs workers $(if $(SANITIZE),,module) ## build libraries, daemons, comandactl and the nginx module

libs: $(LIBS)
workers: $(WORKERS) $(CTL)
module: $(MODULE)
tests: $(UNIT_TESTS) $(CONTRACT_TESTS) $(PLANTED_TESTS)
seam: $(SEAM_WORKERS) $(if $(SANITIZE),,$(SEAM_MODULE))

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS_ALL) -c $< -o $@

# The schema travels inside the programs.
MIGRATIONS := $(sort $(wildcard common/infrastructure/postgres/migrations/*.sql))
$(BUILD)/gen/migrations.c: scripts/embed-migrations $(MIGRATIONS)
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)scripts/embed-migrations $(MIGRATIONS) >$@.new && mv $@.new $@
$(BUILD)/obj/gen/migrations.o: $(BUILD)/gen/migrations.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS_ALL) -c $< -o $@
$(BUILD)/lib/libcomanda_infrastructure.a: $(BUILD)/obj/gen/migrations.o

define layer_rule
$(BUILD)/lib/libcomanda_$(1).a: $(call objects,$(filter-out $(REGISTRY),$(call layer_sources,$(1))))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call say,AR)
	$(Q)$(AR) rcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call layer_rule,$(layer))))

# $(1): folder of programs, $(2): program, $(3): its folder under workers/, $(4): registry sources
define program_rule
$(BUILD)/$(1)/$(2): $(call objects,$(shell find workers/$(3) -name '*.c' 2>/dev/null) $(RUNTIME_SOURCES) $(4)) $(LINK_LIBS)
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) $$(filter %.o,$$^) $(LINK_LIBS) $(PKG_LIBS) -pthread -o $$@
endef
$(foreach name,$(WORKER_NAMES),$(eval $(call program_rule,bin,comanda-$(name),$(name),$(REGISTRY))))
$(foreach name,$(WORKER_NAMES),$(eval $(call program_rule,seam/bin,comanda-$(name),$(name),$(SEAM_SOURCES))))
$(eval $(call program_rule,bin,comandactl,comandactl,$(REGISTRY)))
$(eval $(call program_rule,seam/bin,comandactl,comandactl,$(SEAM_SOURCES)))

# What tests share, and main(), which runs each test in a fork. Out of an archive each takes what it
# needs: one that drags libpq along loads 50 libraries more.
TEST_LIB := $(BUILD)/lib/libcomanda_tests.a
$(TEST_LIB): $(call objects,$(TEST_SUPPORT))
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

# A test binary per file. A test that brings its own registry says so by a line `// registry: PATH`;
# tests/contexts/registry.c brings all of that folder. One that tests a part of the runtime names its
# sources by a line `// links: PATH …`. Read once, as words TEST:links:PATH.
TEST_LINES := $(shell grep -rE '^// (links|registry): ' --include='*_test.c' tests/unit tests/contract | \
                awk -F: '{ sub("// ", "", $$2); n = split($$3, paths, " "); \
                           for (i = 1; i <= n; i++) print $$1 ":" $$2 ":" paths[i] }')
test_lines = $(patsubst $(1):$(2):%,%,$(filter $(1):$(2):%,$(TEST_LINES)))
test_registry = $(or $(filter-out tests/contexts/%,$(call test_lines,$(1),registry)),\
                $(if $(call test_lines,$(1),registry),$(SEAM_SOURCES),$(REGISTRY)))
# Ninety links of what is mostly debug information: gold takes half the time.
TEST_LD := $(if $(shell command -v ld.gold),-fuse-ld=gold)
define test_rule
$(BUILD)/tests/$(1): $(call objects,tests/$(1).c $(call test_lines,tests/$(1).c,links) \
                     $(call test_registry,tests/$(1).c)) $(TEST_LIB) $(LINK_LIBS)
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) $(TEST_LD) $$(filter %.o,$$^) $(TEST_LIB) $(LINK_LIBS) $(PKG_LIBS) \
	    $(TEST_LIBS) -lcriterion -lm -pthread -o $$@
endef
$(foreach source,$(UNIT_SOURCES) $(CONTRACT_SOURCES) $(PLANTED_SOURCES),$(eval $(call test_rule,$(patsubst tests/%.c,%,$(source)))))

# The nginx module. Debian's own tree is configured once (it writes the headers that say how this
# nginx was built, and the list of modules); our sources are then compiled as all others are, so
# that a changed header rebuilds what includes it.
NGINX_BUILD := $(BUILD)/nginx
NGINX_INCLUDES := -isystem $(NGINX_BUILD) $(foreach part,core event event/modules event/quic os/unix http \
                  http/modules http/v2 http/v3,-isystem $(NGINX_SOURCE)/src/$(part))
MODULE_CFLAGS = $(CFLAGS_ALL) -D_GNU_SOURCE -Wno-unused-parameter -Ingx_module -I$(BUILD)/gen $(NGINX_INCLUDES)
MODULE_LISTS := $(foreach name,$(MODULE_NAMES),$(NGINX_BUILD)/$(name)_modules)

$(addsuffix .c,$(MODULE_LISTS)) &: ngx_module/config scripts/configure_nginx scripts/nginx_source_fits \
        $(wildcard $(NGINX_SOURCE)/conf_flags $(NGINX_SOURCE)/objs/ngx_auto_config.h)
	$(call say,CONF)
	$(Q)scripts/configure_nginx $(NGINX_SOURCE) $(abspath $(NGINX_BUILD))

$(NGINX_BUILD)/%_modules.o: $(NGINX_BUILD)/%_modules.c
	$(call say,CC)
	$(Q)$(CC) $(MODULE_CFLAGS) -c $< -o $@

# One module calls the other by a table: what both were compiled with is told from the headers.
MODULE_HEADERS := $(shell find ngx_module common -name '*.h' | sort)
$(BUILD)/gen/module_build.h: $(MODULE_HEADERS)
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)cat $(MODULE_HEADERS) | sha256sum | sed 's/\(.*\)  -/#define COMANDA_MODULE_BUILD "\1"/' >$@

$(BUILD)/obj/ngx_module/%.o: ngx_module/%.c $(addsuffix .c,$(MODULE_LISTS)) $(BUILD)/gen/module_build.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(MODULE_CFLAGS) -c $< -o $@

# $(1): folder, $(2): name, $(3): sources
define module_rule
$(BUILD)/$(1)/$(2).so: $(call objects,$(3)) $(NGINX_BUILD)/$(2)_modules.o $(LINK_LIBS) ngx_module/exports.map
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$(Q)$(CC) -shared $(LDFLAGS_ALL) -Wl,--version-script=ngx_module/exports.map $$(filter %.o,$$^) \
	    $(LINK_LIBS) $(PKG_LIBS) -o $$@
endef
$(eval $(call module_rule,module,ngx_http_comanda_guard_module,$(GUARD_SOURCES)))
$(eval $(call module_rule,module,ngx_http_comanda_module,$(STORE_SOURCES) $(REGISTRY)))
$(eval $(call module_rule,seam/module,ngx_http_comanda_guard_module,$(GUARD_SOURCES)))
$(eval $(call module_rule,seam/module,ngx_http_comanda_module,$(STORE_SOURCES) $(SEAM_SOURCES)))

install: all ## copy programs, module and configuration to $(DESTDIR)$(PREFIX)
	scripts/install $(BUILD) $(DESTDIR)$(PREFIX)

check: ## run every stage of tests; each also alone: make lint, make unit, …
	@$(CHECK) --lanes 2 $(IN_LANES)

$(CHECKS):
	@$(CHECK) $@

# The relay's measure: librabbitmq and nothing of ours.
$(BUILD)/bench/publisher: $(call objects,tests/bench/publisher.c)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -lrabbitmq -o $@

# A lone order's: its commits and hops one after another, and nothing of ours.
$(BUILD)/bench/sequence: $(call objects,tests/bench/sequence.c)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -lrabbitmq -lpq -o $@

bench: all $(BUILD)/bench/publisher $(BUILD)/bench/sequence ## measure against bare tools, write build/bench/report.json (BENCH_SECONDS=5)
	@tests/bench/run.py --build $(BUILD)

# In `make check` a short one runs as a stage.
DURATION ?= 90
storm: all ## kill everything under seeded load, heal, check the whole history (DURATION=90, SEED=, BEFORE=DIR, LOAD=)
	@tests/storm/$(if $(LOAD),loads.py $(LOAD) --orders "$(ORDERS)" --workers "$(WORKERS)",storm.py \
	    --duration $(DURATION) --seed "$(SEED)" $(if $(BEFORE),--before $(BEFORE))) --build $(BUILD)

# Clang's libFuzzer over everything that reads bytes from outside. What it finds belongs into
# tests/fuzz/corpus, which a unit test replays.
FUZZ_SECONDS ?= 60
FUZZ ?= $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_BUILD := build/fuzz
$(BUILD)/comanda-fuzz: $(call objects,$(wildcard tests/fuzz/*.c) $(REGISTRY)) $(LINK_LIBS)
	@mkdir -p $(@D)
	$(CC) -fsanitize=fuzzer $(LDFLAGS_ALL) $(filter %.o,$^) $(LINK_LIBS) $(PKG_LIBS) -lm -pthread -o $@

fuzz: ## mutate inputs of each parser for FUZZ_SECONDS=60 each (FUZZ="json token …"; ./configure.sh --with-fuzz)
	@$(MAKE) -s BUILD=$(FUZZ_BUILD) CC=clang SANITIZE=address,undefined,fuzzer-no-link \
	    $(FUZZ_BUILD)/comanda-fuzz
	@for name in $(FUZZ); do \
	    mkdir -p $(FUZZ_BUILD)/found/$$name && echo "fuzz $$name" && \
	    COMANDA_FUZZ=$$name $(FUZZ_BUILD)/comanda-fuzz -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
	        -max_len=16384 -verbosity=0 -print_final_stats=1 \
	        -artifact_prefix=$(FUZZ_BUILD)/crash-$$name- $(FUZZ_BUILD)/found/$$name \
	        tests/fuzz/corpus/$$name || exit 1; \
	done

demo: all ## run it all on this machine: servers, edge, workers, and a walk-through (DETACH=1, RATE=off)
	@scripts/demo run --build $(BUILD)

stop: ## stop what make demo started
	@scripts/demo stop

format: ## put every C file into the one look
	clang-format -i $$(find common ngx_module workers tests -name '*.c' -o -name '*.h')

clean: ## stop the demo and delete everything that was built
	@if [ -e build/demo ]; then scripts/demo remove; fi
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 12
	@echo
	@echo "  stages of check: $(CHECKS), and a short storm"
	@echo "  variables: BUILD= CC= CFLAGS= DEBUG=1 SANITIZE=address,undefined V=1 PREFIX= DESTDIR="

-include $(shell find $(BUILD)/obj $(BUILD)/nginx -name '*.d' 2>/dev/null)
