# SPDX-License-Identifier: Apache-2.0
"""Every rule of `make lint` turns red on a planted violation, and names it."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPDX = "// SPDX-License-Identifier: Apache-2.0\n// Planted by a test.\n"
FOLDERS = ("common", "ngx_module", "workers", "scripts", "tests", ".ci")


def link(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)  # another file system


@pytest.fixture
def tree(tmp_path):
    """The sources again, as links: a planted file is a new one, so that ours stay as they are."""
    for folder in FOLDERS:
        if (ROOT / folder).exists():
            shutil.copytree(ROOT / folder, tmp_path / folder, copy_function=link,
                            ignore=shutil.ignore_patterns("__pycache__", "contract", "unit"))
    for name in ("configure.sh", ".clang-format"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "build" / "lib").mkdir(parents=True)
    built = ROOT / os.environ.get("COMANDA_LINT_BUILD", "build") / "lib"
    for archive in ("libcomanda_domain.a", "libcomanda_base.a"):
        shutil.copy(built / archive, tmp_path / "build" / "lib" / archive)
    return tmp_path


def lint(tree, rule):
    """The exit code and what was found."""
    environment = {name: value for name, value in os.environ.items()
                   if name != "COMANDA_LINT_BUILD"}
    done = subprocess.run([ROOT / "scripts" / "lint", "--root", tree, rule], env=environment,
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def plant(tree, name, text):
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)


def expect_red(tree, rule, *words):
    code, found = lint(tree, rule)
    assert code == 1, found
    for word in words:
        assert word in found


INCLUDES = [
    ("common/base/planted.c", '#include "domain/event.h"\n'),
    ("common/domain/planted.c", '#include "application/ports/event_store.h"\n'),
    ("common/application/planted.c", '#include "infrastructure/postgres/statement.h"\n'),
    ("common/infrastructure/planted.c", '#include "runtime/runtime.h"\n'),
    ("ngx_module/serve/planted.c", '#include "runtime/runtime.h"\n'),
    ("workers/runtime/planted.c", '#include "support/world.h"\n'),
    ("common/application/planted.c", "#include <libpq-fe.h>\n"),
    ("common/base/planted.c", "#include <sys/socket.h>\n"),
]


@pytest.mark.parametrize("name, line", INCLUDES)
def test_an_include_against_the_layers_is_found(tree, name, line):
    plant(tree, name, SPDX + line)
    expect_red(tree, "includes", f"{name}:3", line.split()[1].strip('"<>'))


@pytest.mark.parametrize("name, line", [
    ("ngx_module/guard/planted.c", '#include "store/pool.h"\n'),
    ("ngx_module/core/planted.h", '#include "answer/answer.h"\n'),
    ("ngx_module/planted.c", "int planted;\n"),
    ("ngx_module/attic/planted.c", "int planted;\n"),
])
def test_an_include_against_the_rooms_is_found(tree, name, line):
    plant(tree, name, SPDX + line)
    expect_red(tree, "rooms", name)


def test_a_context_that_includes_another_is_found(tree):
    plant(tree, "common/domain/ordering/planted.c", SPDX + '#include "domain/catalogue/product.h"\n')
    expect_red(tree, "contexts", "common/domain/ordering/planted.c:3")


DOMAIN_CALLS = [
    ("#include <sys/socket.h>\nint planted(void)\n{ return socket(1, 2, 3); }\n", "socket"),
    ("#include <time.h>\nint planted(void)\n{ return (int)time(0); }\n", "time"),
    ("#include <stdio.h>\nint planted(void)\n{ return fopen(\"x\", \"r\") != 0; }\n", "fopen"),
    ("int PQping(const char *);\nint planted(void)\n{ return PQping(\"\"); }\n", "PQping"),
    ("int planted(void)\n{ extern long random(void); return (int)random(); }\n", "random"),
]


@pytest.mark.parametrize("code, name", DOMAIN_CALLS)
def test_a_domain_that_does_io_is_found(tree, code, name):
    plant(tree, "planted.c", code)
    subprocess.run(["gcc", "-c", "planted.c", "-o", "planted.o"], cwd=tree, check=True)
    subprocess.run(["ar", "r", "build/lib/libcomanda_domain.a", "planted.o"], cwd=tree, check=True,
                   capture_output=True)
    expect_red(tree, "domain", f"the domain uses {name}")


AGGREGATES = [
    ("common/application/command/planted.c", "int order_place(void);\n"),
    ("common/application/planted.c", "struct payment;\n"),
    ("common/application/planted.c", "int last_order(void);\n"),
    ("common/infrastructure/postgres/planted.c", 'const char *planted = "stock_item";\n'),
    ("common/infrastructure/redis/planted.c", 'const char *planted = "orders";\n'),
    ("ngx_module/planted.c", 'const char *planted = "OrderPlaced";\n'),
    ("ngx_module/planted.c", "enum planted { ORDER_PLACED };\n"),
    ("workers/runtime/planted.c", 'const char *planted = "comanda.payment";\n'),
    ("workers/runtime/planted.c", "int sku;\n"),
]


@pytest.mark.parametrize("name, line", AGGREGATES)
def test_an_aggregate_named_by_engine_edge_or_runtime_is_found(tree, name, line):
    plant(tree, name, SPDX + line)
    expect_red(tree, "aggregates", f"{name}:3")


INNOCENT = SPDX + """
// An order's payment is no business of the engine; comments may say so.
int order;
int memory_order_relaxed_is_fine(void);
const char *sql = "select 1 order by position";
"""


@pytest.mark.parametrize("name, text", [
    ("common/application/planted.c", INNOCENT),
    ("common/infrastructure/psp/planted.c", SPDX + "struct payment;\n"),
    ("workers/payment/planted.c", SPDX + 'const char *queue = "comanda.payment";\n'),
])
def test_what_only_looks_like_an_aggregate_is_not_found(tree, name, text):
    plant(tree, name, text)
    code, found = lint(tree, "aggregates")
    assert code == 0, found


BANNED = """strcpy strcat strncat sprintf vsprintf gets strtok atoi atol atoll atof rand srand random
    system popen alloca mktemp tmpnam tempnam scanf asctime ctime localtime gmtime""".split()


def test_each_banned_call_is_found(tree):
    calls = "".join(f"    {name}(a);\n" for name in BANNED)
    plant(tree, "common/base/planted.c", f"{SPDX}void f(char *a)\n{{\n{calls}}}\n")
    code, found = lint(tree, "banned")
    assert code == 1
    for line, name in enumerate(BANNED, 5):
        assert re.search(rf"common/base/planted\.c:{line}\b.*\b{name}\b", found), (line, name)


def test_a_banned_name_in_a_comment_or_string_is_not_found(tree):
    plant(tree, "common/base/planted.c",
          SPDX + '// never strcpy(a, b)\nconst char *text = "system(x)";\nint my_atoi(int);\n')
    code, found = lint(tree, "banned")
    assert code == 0, found


def test_a_badly_formatted_file_is_found(tree):
    plant(tree, "common/base/planted.c", SPDX + "int  f( void ){return 1;}\n")
    expect_red(tree, "format", "common/base/planted.c")


def test_a_shell_fault_is_found(tree):
    plant(tree, "scripts/planted.sh", "#!/bin/sh\nrm -rf $1/*\n")
    expect_red(tree, "shellcheck", "scripts/planted.sh:2")


def test_a_cppcheck_fault_is_found(tree):
    for folder in ("common", "ngx_module", "workers"):
        shutil.rmtree(tree / folder)
    plant(tree, "common/base/planted.c",
          SPDX + "int f(void);\nint f(void)\n{\n    int a[2] = {0, 1};\n    return a[2];\n}\n")
    expect_red(tree, "cppcheck", "common/base/planted.c:7", "arrayIndexOutOfBounds")


def test_a_file_that_is_too_long_is_found(tree):
    plant(tree, "common/base/planted.c", SPDX + "\n" * 499)
    expect_red(tree, "size", "common/base/planted.c: 501 lines")


def test_a_function_that_is_too_long_is_found(tree):
    body = "    f();\n" * 69
    plant(tree, "common/base/planted.c", f"{SPDX}void planted(void)\n{{\n{body}}}\n")
    expect_red(tree, "size", "common/base/planted.c:4: planted has 71 lines")


@pytest.mark.parametrize("name, text", [
    ("common/base/planted.c", "int a;\n"),
    ("common/base/planted.h", "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n"),
    ("scripts/planted.sh", "#!/bin/sh\n# Does something.\ntrue\n"),
])
def test_a_file_without_its_head_is_found(tree, name, text):
    plant(tree, name, text)
    expect_red(tree, "head", name)


@pytest.mark.parametrize("rule", ["includes", "contexts", "domain", "aggregates", "banned", "head"])
def test_the_tree_itself_is_clean(tree, rule):
    code, found = lint(tree, rule)
    assert code == 0, found


def test_an_unknown_rule_is_refused():
    done = subprocess.run([ROOT / "scripts" / "lint", "tidiness"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    assert "tidiness" in done.stderr
