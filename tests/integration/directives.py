# SPDX-License-Identifier: Apache-2.0
"""What the modules' command tables say of each directive, and what docs/directives.md says."""
import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "directives.md"
CONTEXTS = {
    "NGX_HTTP_MAIN_CONF": "http", "NGX_HTTP_SRV_CONF": "server", "NGX_HTTP_LOC_CONF": "location",
    "NGX_HTTP_SIF_CONF": "if in server", "NGX_HTTP_LIF_CONF": "if in location",
    "NGX_HTTP_LMT_CONF": "limit_except",
}
GUARD_ROOMS = {"answer", "guard", "observe", "request"}


# ---- The sources --------------------------------------------------------------------------------

@dataclasses.dataclass
class Directive:
    name: str
    contexts: list  # as the page names them, the outermost first
    arity: set      # the bits NGX_CONF_… of its type
    words: set      # parameters, their fixed values and bare words that the code compares with;
                    # an origin's scheme is a part of a value and none of them
    numbers: set    # parameters of which a settings table says from where to where
    module: str     # guard or comanda


def functions(text):
    """name → body, of one file."""
    return dict(re.findall(r"^\w[^\n;#]*?\b(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", text, re.M | re.S))


def reachable(bodies, first):
    """The bodies of a function and of all those in its file that it calls."""
    seen, ahead = set(), [first]
    while ahead:
        name = ahead.pop()
        if name in bodies and name not in seen:
            seen.add(name)
            ahead += re.findall(r"\b(\w+)\(", bodies[name])
    return "\n".join(bodies[name] for name in sorted(seen))


def directives():
    """name → Directive, of every ngx_command_t table."""
    found = {}
    for path in sorted((ROOT / "ngx_module").glob("*/*.c")):
        text = path.read_text()
        for table in re.findall(r"ngx_command_t \w+\[\] = \{(.*?)^\};", text, re.M | re.S):
            entries = re.findall(r'\{\.name = ngx_string\("(\w+)"\),\s*\.type = ([^,]+),'
                                 r"\s*\.set = (\w+)", table)
            assert len(entries) == table.count("ngx_string("), f"{path}: a form that is new here"
            for name, bits, setter in entries:
                bits = set(re.findall(r"\w+", bits))
                code = reachable(functions(text), setter)
                settings = dict(re.findall(r'\.name = STR\("(\w+)"\),\s*\.(\w+) =', code))
                assert len(settings) == code.count(".name = STR("), path
                found[name] = Directive(
                    name=name, contexts=[CONTEXTS[bit] for bit in CONTEXTS if bit in bits],
                    arity=bits - set(CONTEXTS),
                    words=set(settings) | set(re.findall(
                        r'str_eq\((?!scheme\b)[^"]*?STR\("(\w+)"\)', code)),
                    numbers={word for word, kind in settings.items() if kind in ("number", "msec")},
                    module="guard" if path.parent.name in GUARD_ROOMS else "comanda")
    return found


def variables():
    """The names in each function that adds variables."""
    found = set()
    for path in sorted((ROOT / "ngx_module").glob("*/*.c")):
        for body in functions(path.read_text()).values():
            if "ngx_http_add_variable(" in body:
                names = re.findall(r'ngx_string\("(\w+)"\)', body)
                assert names, path
                found |= set(names)
    return found


def defaults_of_flags():
    merged = re.findall(r"ngx_conf_merge_value\(conf->(\w+), outer->\w+, ([01])\)",
                        "".join(path.read_text()
                                for path in sorted((ROOT / "ngx_module").glob("*/*.c"))))
    return {f"comanda_{name}": ["off", "on"][int(value)] for name, value in merged}


# ---- The page -----------------------------------------------------------------------------------

def bare(word):
    """Without what may be left out within the word, and without quotes: HOST[:PORT] is HOST."""
    return re.sub(r"(?<=\w)\[[^]]*\]", "", word).strip('"')


@dataclasses.dataclass
class Form:
    """One line of a syntax."""
    name: str
    required: list  # words outside brackets
    optional: list
    repeated: bool  # … stands behind the last

    @classmethod
    def read(cls, line):
        assert re.fullmatch(r"comanda_\w+[^;]*;", line), line
        name, *rest = line[:-1].split(" ", 1)
        text = " ".join(bare(word) if "[" in word[1:] else word for word in "".join(rest).split())
        optional = " ".join(re.findall(r"\[([^]]*)\]", text)).split()
        required = re.sub(r"\[[^]]*\]", "", text).split()
        return cls(name, [word.strip('"') for word in required if word != "…"], optional,
                   "…" in required)

    def keys(self):
        """What is said of each word: a parameter's name, a capital, or each bare word."""
        return {key for word in self.required + self.optional
                for key in ([word.partition("=")[0] + "="] if "=" in word else word.split("|"))}

    def words(self):
        """Parameters, fixed values and bare words: all that is no capital."""
        return {word for text in self.required + self.optional
                for word in re.split(r"[=|]", text) if re.fullmatch(r"[a-z_]+", word)}

    def named(self):
        return [word.partition("=")[0] for word in self.required if "=" in word]


@dataclasses.dataclass
class Section:
    name: str
    forms: list
    default: str
    context: str
    since: str
    items: dict     # "queue=N" → what is said of it
    examples: list

    @classmethod
    def read(cls, name, text):
        block = re.search(r"^```\nSyntax:(.*?)\nDefault:(.*?)\nContext:(.*?)\nSince:(.*?)\n```$",
                          text, re.M | re.S)
        assert block, f"{name} has no block of syntax, default, context and since"
        syntax, default, context, since = (part.strip() for part in block.groups())
        return cls(name, [Form.read(line.strip()) for line in syntax.splitlines()], default,
                   context, since, items_of(text), examples_of(text))

    def keys_of_items(self):
        return {bare(head.partition("=")[0]) + "=" if "=" in head else bare(head)
                for head in self.items}


def items_of(text):
    return {head: said for heads, said in re.findall(r"^- ((?:`[^`]+`(?:, )?)+): (.*)$", text, re.M)
            for head in re.findall(r"`([^`]+)`", heads)}


def examples_of(text):
    return re.findall(r"^```nginx\n(.*?)^```$", text, re.M | re.S)


def sections():
    """name → Section, of every heading of the third level."""
    parts = re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.M | re.S)
    assert len({name for name, _ in parts}) == len(parts)
    return {name: Section.read(name, text) for name, text in parts}


def index():
    """name → (contexts, module), of the table at the top."""
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| [^|]+ \| ([^|]+) \| (\w+) \|$",
                      PAGE.read_text(), re.M)
    assert all(name == anchor for name, anchor, *_ in rows)
    return {name: (contexts, module) for name, _, contexts, module in rows}


def embedded_variables():
    text = PAGE.read_text().partition("\n## Embedded variables\n")[2]
    return set(items_of(re.split(r"^## ", text, maxsplit=1, flags=re.M)[0]))
