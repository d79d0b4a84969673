# SPDX-License-Identifier: Apache-2.0
# Builds Comanda out of tree in $(BUILD). `make help` lists the targets.

BUILD ?= build
CC ?= gcc
PKGS := libpq librabbitmq hiredis libcjson libcrypto libmicrohttpd

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wvla -Wformat=2
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIC
LD_HARDENING := -Wl,-z,relro,-z,now
OPTIMISE := -O2 -g
ifdef DEBUG
OPTIMISE := -O0 -g3
HARDENING := -fPIC
endif
ifdef SANITIZE
OPTIMISE := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined
HARDENING := -fPIC
LDFLAGS += -fsanitize=$(SANITIZE)
endif

PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
CFLAGS_ALL := -std=gnu11 $(OPTIMISE) $(WARNINGS) $(HARDENING) -Icommon -Iworkers -MMD -MP $(PKG_CFLAGS) \
              $(CFLAGS)
LDFLAGS_ALL := $(LD_HARDENING) $(LDFLAGS)

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
WORKER_NAMES := $(filter-out runtime comandactl,$(notdir $(shell find workers -mindepth 1 -maxdepth 1 -type d 2>/dev/null)))
WORKERS := $(foreach name,$(WORKER_NAMES),$(BUILD)/bin/comanda-$(name))
CTL := $(if $(wildcard workers/comandactl/*.c),$(BUILD)/bin/comandactl)

UNIT_SOURCES := $(shell find tests/unit -name '*_test.c' 2>/dev/null | sort)
CONTRACT_SOURCES := $(shell find tests/contract -name '*_test.c' 2>/dev/null | sort)
TEST_SUPPORT := $(shell find tests/support -name '*.c' 2>/dev/null | sort)
UNIT_TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SOURCES))
CONTRACT_TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(CONTRACT_SOURCES))

.PHONY: all libs workers tests clean format unit
all: libs workers

libs: $(LIBS)
workers: $(WORKERS) $(CTL)
tests: $(UNIT_TESTS) $(CONTRACT_TESTS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c $< -o $@

define layer_rule
$(BUILD)/lib/libcomanda_$(1).a: $(call objects,$(filter-out $(REGISTRY),$(call layer_sources,$(1))))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(AR) rcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call layer_rule,$(layer))))

define worker_rule
$(BUILD)/bin/comanda-$(1): $(call objects,$(shell find workers/$(1) -name '*.c') $(RUNTIME_SOURCES) $(REGISTRY)) $(LINK_LIBS)
	@mkdir -p $$(@D)
	$(CC) $(LDFLAGS_ALL) $$(filter %.o,$$^) $(LINK_LIBS) $(PKG_LIBS) -o $$@
endef
$(foreach name,$(WORKER_NAMES),$(eval $(call worker_rule,$(name))))

$(BUILD)/bin/comandactl: $(call objects,$(shell find workers/comandactl -name '*.c' 2>/dev/null) $(RUNTIME_SOURCES) $(REGISTRY)) $(LINK_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $(filter %.o,$^) $(LINK_LIBS) $(PKG_LIBS) -o $@

# A test binary per file; tests/support is linked into each. A test that brings its own registry
# says so by a line `// registry: path/to/registry.c`.
test_registry = $(or $(shell sed -n 's|^// registry: ||p' $(1)),$(REGISTRY))
define test_rule
$(BUILD)/tests/$(1): $(call objects,tests/$(1).c $(TEST_SUPPORT) $(call test_registry,tests/$(1).c)) $(LINK_LIBS)
	@mkdir -p $$(@D)
	$(CC) $(LDFLAGS_ALL) $$(filter %.o,$$^) $(LINK_LIBS) $(PKG_LIBS) -lcriterion -lm -o $$@
endef
$(foreach source,$(UNIT_SOURCES) $(CONTRACT_SOURCES),$(eval $(call test_rule,$(patsubst tests/%.c,%,$(source)))))

unit: $(UNIT_TESTS)
	@for test in $(UNIT_TESTS); do $$test --verbose=0 || exit 1; done

format:
	clang-format -i $$(find common ngx_module workers tests -name '*.c' -o -name '*.h')

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
