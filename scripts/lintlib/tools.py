# SPDX-License-Identifier: Apache-2.0
"""The rules that other programs check: clang-format, shellcheck, cppcheck."""
import re
import subprocess

from .source import c_files

FOUND_MAX = 200


def run(command, root):
    done = subprocess.run([str(word) for word in command], cwd=root, capture_output=True,
                          text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def formatting(root):
    """clang-format has nothing to change."""
    files = [source.name for source in c_files(root)]
    code, lines = run(["clang-format", "--dry-run", "-Werror", *files], root)
    found = [line for line in lines if "error:" in line]
    yield from found[:FOUND_MAX]
    if code != 0 and not found:
        yield from lines[:FOUND_MAX] or ["clang-format failed"]


def shell_scripts(root):
    for folder in ("scripts", ".ci", "tests"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in ("", ".sh"):
                first = path.open("rb").readline()
                if re.match(rb"#!.*\b(ba|da)?sh\b|# shellcheck shell=", first):
                    yield path.relative_to(root)
    yield "configure.sh"


def shells(root):
    """shellcheck has nothing to say."""
    code, lines = run(["shellcheck", "-x", "-f", "gcc", *shell_scripts(root)], root)
    yield from lines[:FOUND_MAX]
    if code != 0 and not lines:
        yield "shellcheck failed"


def cppcheck(root):
    """cppcheck finds no fault."""
    folders = [folder for folder in ("common", "workers", "ngx_module")
               if any((root / folder).rglob("*.c"))]
    suppressions = root / "scripts" / "lintlib" / "cppcheck.txt"
    code, lines = run(["cppcheck", "-q", "-j2", "--enable=warning,performance", "--std=c11",
                       "--inline-suppr", f"--suppressions-list={suppressions}",
                       "--error-exitcode=9", "--template={file}:{line}: {message} [{id}]",
                       "-Icommon", "-Iworkers", "-Ingx_module", *folders], root)
    found = [line for line in lines if re.match(r"\S+:\d+: ", line)]
    yield from found[:FOUND_MAX]
    if code != 0 and not found:
        yield from lines[:FOUND_MAX] or ["cppcheck failed"]
