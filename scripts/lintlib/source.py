# SPDX-License-Identifier: Apache-2.0
"""Reads C sources: which files there are, their includes, their code without comments."""
import re

C_FOLDERS = ("common", "ngx_module", "workers", "tests")

# A comment, a string or a character constant; whichever begins first wins.
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


class Source:
    """One C file below a root."""

    def __init__(self, root, path):
        self.root = root
        self.path = path
        self.name = str(path.relative_to(root))
        self.text = path.read_text(encoding="utf-8")

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def place(self, offset):
        return f"{self.name}:{self.line_of(offset)}"

    def includes(self):
        """Pairs of (match, path as it is written), the angle ones with < before."""
        for match in INCLUDE.finditer(self.text):
            yield match.start(), ("<" if match[1] == "<" else "") + match[2]

    def code(self):
        """The text with comments and strings blanked out, every offset kept."""
        return TOKEN.sub(blank_unless_include, self.text)

    def strings(self):
        """(offset, content) of each string outside comments and #include lines."""
        for match in TOKEN.finditer(self.text):
            if match[0].startswith('"') and not is_include(match):
                yield match.start(), match[0][1:-1]


def is_include(match):
    line = match.string[match.string.rfind("\n", 0, match.start()) + 1:match.start()]
    return bool(re.match(r"\s*#\s*include\s*$", line))


def blank_unless_include(match):
    if match[0].startswith('"') and is_include(match):
        return match[0]
    return re.sub(r"[^\n]", " ", match[0])


def c_files(root, folders=C_FOLDERS):
    for folder in folders:
        for path in sorted((root / folder).rglob("*.[ch]")):
            yield Source(root, path)


def functions(source):
    """(name, first line, last line) of each function that begins in the first column."""
    lines = source.code().splitlines()
    start, name = None, None
    for number, line in enumerate(lines, 1):
        if start is None and line.startswith("{"):
            start, name = number, heading(lines, number)
        elif start is not None and line.startswith("}"):
            if name:
                yield name, start, number
            start = None


def heading(lines, opening):
    """The name of the function whose body opens on this line."""
    text = ""
    for line in reversed(lines[max(0, opening - 12):opening - 1]):
        text = line + " " + text
        if line and not line[0].isspace():
            break
    match = re.search(r"(\w+)\s*\(", text)
    return match[1] if match else None
