# SPDX-License-Identifier: Apache-2.0
"""The rules that our own sources keep: layers, the seam, the domain's purity, sizes, heads."""
import os
import re
import subprocess

from .source import c_files, functions

LINES_MAX = 500
FUNCTION_LINES_MAX = 70

# From the inside out. ngx_module and workers stand beside each other.
LAYERS = [
    ("common/base", 0),
    ("common/domain", 1),
    ("common/application", 2),
    ("common/infrastructure", 3),
    ("ngx_module", 4),
    ("workers", 4),
    ("tests", 5),
]
# Of ngx_module, from the inside out. The guard's .so ends with guard, the store's has core, store, serve.
ROOMS = ("core", "observe", "request", "answer", "guard", "store", "serve")
CLIENT_LIBRARY = re.compile(
    r"<(libpq-fe|postgres|amqp|rabbitmq-c/|hiredis|microhttpd|curl/|ngx_|sys/socket|netinet/|"
    r"netdb|arpa/|poll|sys/epoll)")

BANNED = ("strcpy", "strcat", "strncat", "sprintf", "vsprintf", "gets", "strtok", "atoi", "atol",
          "atoll", "atof", "rand", "srand", "random", "system", "popen", "alloca", "mktemp",
          "tmpnam", "tempnam", "scanf", "asctime", "ctime", "localtime", "gmtime")

# What the domain may use from outside: memory and text in memory.
DOMAIN_MAY_USE = re.compile(
    r"^(mem(cpy|cmp|set|move|chr)|str(len|cmp|ncmp|chr|nlen|spn|cspn)|malloc|calloc|realloc|free|"
    r"(__)?v?snprintf(_chk)?|__mem\w+_chk|__stack_chk_fail|abort|__assert_fail|qsort|bsearch|"
    r"_GLOBAL_OFFSET_TABLE_|__asan_\w+|__ubsan_\w+)$")
# The base's own leaves that do I/O or read a clock are not for the domain either.
BASE_NOT_FOR_DOMAIN = re.compile(r"^(sha256\w*|backoff\w*|uuid_v7_now|instant_now)$")

# "order" alone is English for a sequence; in a compound or a string it is the shop's.
AGGREGATES = r"(?:payment|reservation|stock|shipment|product|sku)s?"
NAME = re.compile(
    rf"\b(?!(?:memory|byte|sort|in|out_of)_order)(?:\w*_)?(?:{AGGREGATES}|orders)(?:_\w*)?\b|"
    r"\borders?_\w+|\b(?!(?:memory|byte|sort|in|out_of|version|time)_order\b)\w+_orders?\b|"
    r"\b(?:Order|Payment|Reservation|Stock|Shipment|Product)[A-Z]\w*|"
    r"\b(?:ORDER|PAYMENT|RESERVATION|STOCK|SHIPMENT|PRODUCT)S?_\w+")
IN_STRING = re.compile(
    rf"(?<![a-z])(?:{AGGREGATES})(?![a-z])|^orders?$|\borders?[._/]|'orders?'|"
    r"\b(?:Order|Payment|Reservation|Stock|Shipment|Product)[A-Z]\w*", re.IGNORECASE)
# Strings keep "order by", "in order to".
ENGINE = ("common/application", "common/infrastructure", "ngx_module", "workers/runtime")
ENGINE_EXCEPT = ("common/infrastructure/psp/", "common/application/ports/payment_provider.h",
                 "common/application/ports/carrier.h")


def layer_of(name):
    for folder, layer in LAYERS:
        if name.startswith(folder + "/"):
            return folder, layer
    return None, None


def resolve(root, source, written):
    """The file that a quoted include names, relative to the root; None when it is not ours."""
    for folder in (source.path.parent, root / "common", root / "workers", root / "tests",
                   root / "ngx_module"):
        path = folder / written
        if path.is_file():
            return str(path.resolve().relative_to(root.resolve()))
    return None


def includes(root):
    """Includes run one way: base ← domain ← application ← infrastructure ← edge, workers ← tests."""
    for source in c_files(root):
        folder, layer = layer_of(source.name)
        for offset, written in source.includes():
            if written.startswith("<"):
                if layer is not None and layer < 3 and CLIENT_LIBRARY.match(written):
                    yield f"{source.place(offset)}: {folder} includes {written}>"
                continue
            target = resolve(root, source, written)
            if target is None:
                continue
            other, reached = layer_of(target)
            if reached is None or layer is None:
                continue
            if reached > layer or (reached == layer and other != folder):
                yield f"{source.place(offset)}: {folder} includes {target}"


def room_of(name):
    """(room, its place) of a file of the nginx module; (None, None) elsewhere."""
    parts = name.split("/")
    if parts[0] != "ngx_module" or len(parts) < 3:
        return None, None
    return parts[1], ROOMS.index(parts[1]) if parts[1] in ROOMS else -1


def rooms(root):
    """The module's rooms include one way: core ← observe ← request ← answer ← guard ← store ← serve."""
    for source in c_files(root, ("ngx_module",)):
        room, place = room_of(source.name)
        if room is None or place < 0:
            yield f"{source.name}: stands in none of the rooms {', '.join(ROOMS)}"
            continue
        for offset, written in source.includes():
            target = None if written.startswith("<") else resolve(root, source, written)
            other, reached = room_of(target) if target else (None, None)
            if reached is not None and reached > place:
                yield f"{source.place(offset)}: room {room} includes {target} of {other}"


def contexts(root):
    """No context includes another: it reads the other's document, never its structs."""
    domain = root / "common" / "domain"
    names = {path.name for path in domain.iterdir() if path.is_dir()} - {"values"}
    for source in c_files(root, ("common/domain",)):
        own = source.path.parent.name
        if own not in names:
            continue
        for offset, written in source.includes():
            match = re.match(r"domain/(\w+)/", written)
            if match and match[1] in names and match[1] != own:
                yield f"{source.place(offset)}: context {own} includes {written}"


def archive_symbols(archive, kind):
    done = subprocess.run(["nm", "--no-sort", archive], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        fields = line.split()
        if len(fields) >= 2 and ((kind == "undefined") == (fields[-2] == "U")):
            yield fields[-1]


def domain(root):
    """The domain's archive uses nothing but base and text in memory."""
    build = root / os.environ.get("COMANDA_LINT_BUILD", "build") / "lib"
    archive, base = build / "libcomanda_domain.a", build / "libcomanda_base.a"
    if not archive.exists() or not base.exists():
        yield f"{archive} is not built: make libs"
        return
    own = set(archive_symbols(archive, "defined")) | {"context_registry"}
    own |= {name for name in archive_symbols(base, "defined")
            if not BASE_NOT_FOR_DOMAIN.match(name)}
    for name in sorted(set(archive_symbols(archive, "undefined"))):
        if name not in own and not DOMAIN_MAY_USE.match(name):
            yield f"the domain uses {name}"


def aggregates(root):
    """Neither engine nor edge nor the workers' runtime names an aggregate of the shop."""
    for source in c_files(root, ENGINE):
        if source.name.startswith(ENGINE_EXCEPT):
            continue
        for match in NAME.finditer(source.code()):
            yield f"{source.place(match.start())}: names {match[0]}"
        for offset, text in source.strings():
            match = IN_STRING.search(text)
            if match:
                yield f"{source.place(offset)}: says \"{match[0]}\""


def banned(root):
    """Calls that cannot be used safely, or not in a process with more than one thread."""
    call = re.compile(rf"(?<![\w.>])({'|'.join(BANNED)})\s*\(")
    for source in c_files(root, ("common", "ngx_module", "workers")):
        for match in call.finditer(source.code()):
            yield f"{source.place(match.start())}: calls {match[1]}"


def sized_files(root):
    for folder in ("common", "ngx_module", "workers", "tests", "scripts"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not {"__pycache__", "corpus"} & set(path.parts) and \
                    path.suffix in (".c", ".h", ".py", ".sh", ".sql", ""):
                yield path
    yield root / "configure.sh"


def size(root):
    """Files of at most 500 lines, functions of at most 70."""
    for path in sized_files(root):
        lines = path.read_bytes().count(b"\n")
        if lines > LINES_MAX:
            yield f"{path.relative_to(root)}: {lines} lines, at most {LINES_MAX}"
    for source in c_files(root):
        for name, first, last in functions(source):
            if last - first + 1 > FUNCTION_LINES_MAX:
                yield (f"{source.name}:{first}: {name} has {last - first + 1} lines, "
                       f"at most {FUNCTION_LINES_MAX}")


def head(root):
    """Each file begins with its licence and says in a sentence what it is for."""
    comment = {".c": "//", ".h": "//", ".py": "#", ".sh": "#", ".sql": "--"}
    for path in sized_files(root):
        lines = path.read_text(encoding="utf-8").splitlines()
        mark = comment.get(path.suffix, "#")
        lines = [line for line in lines[:4] if not line.startswith(("#!", "# shellcheck"))]
        name = path.relative_to(root)
        if path.suffix == ".sql":
            if not lines or not lines[0].startswith(mark):
                yield f"{name}: does not begin with a comment that says what it is for"
        elif len(lines) < 2 or lines[0] != f"{mark} SPDX-License-Identifier: Apache-2.0":
            yield f"{name}: does not begin with its SPDX line"
        elif not lines[1].startswith((mark + " ", '"""')):
            yield f"{name}: does not say what it is for after its SPDX line"
