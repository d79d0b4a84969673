# SPDX-License-Identifier: Apache-2.0
"""docs/directives.md says what the modules' command tables say, and nginx takes its examples."""
import re
import sys

import pytest

import directives as source
from nginx import MODULES

DIRECTIVES = source.directives()
SECTIONS = source.sections()
# A zone of so many keys is a GiB, which nginx -t would fill.
TOO_LARGE_TO_TRY = {"keys"}
HEAD = """
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""
STORE = '    comanda_postgres log "host=/run/postgresql";\n'


# ---- What the page and the tables say of each other ---------------------------------------------

def test_every_directive_has_a_section_and_a_row_and_none_else():
    assert list(SECTIONS) == list(source.index()), "sections and the table at the top, in order"
    assert set(SECTIONS) == set(DIRECTIVES)


@pytest.mark.parametrize("name", DIRECTIVES)
def test_contexts_and_module_are_those_of_the_command_table(name):
    contexts = ", ".join(DIRECTIVES[name].contexts)
    assert SECTIONS[name].context == contexts
    assert source.index()[name] == (contexts, DIRECTIVES[name].module)


def fits(form, bit):
    count = len(form.required)
    if bit == "NGX_CONF_FLAG":
        return form.required == ["on|off"] and not form.optional
    if bit == "NGX_CONF_NOARGS" or (taken := re.fullmatch(r"NGX_CONF_TAKE(\d)", bit)):
        wanted = 0 if bit == "NGX_CONF_NOARGS" else int(taken[1])
        return count == wanted and not form.optional and not form.repeated
    return count >= int(re.fullmatch(r"NGX_CONF_(\d)MORE", bit)[1])


@pytest.mark.parametrize("name", DIRECTIVES)
def test_syntax_takes_as_many_words_as_the_command_table(name):
    (bit,) = DIRECTIVES[name].arity
    for form in SECTIONS[name].forms:
        assert form.name == name
        assert fits(form, bit), (form, bit)
    if bit.endswith("MORE"):
        forms = SECTIONS[name].forms
        assert any(form.optional or form.repeated or len(form.required) > 1 for form in forms), \
            "the table takes more words than the syntax"


@pytest.mark.parametrize("name", DIRECTIVES)
def test_parameters_are_those_that_the_code_reads(name):
    section = SECTIONS[name]
    flag = DIRECTIVES[name].arity == {"NGX_CONF_FLAG"}
    words = set().union(*(form.words() for form in section.forms))
    assert words - DIRECTIVES[name].words == ({"on", "off"} if flag else set()), "never read"
    assert DIRECTIVES[name].words - words == set(), "read, but not in the syntax"
    keys = set().union(*(form.keys() for form in section.forms))
    assert section.keys_of_items() == (set() if flag else keys), "each is said something of, once"


@pytest.mark.parametrize("name", DIRECTIVES)
def test_every_number_has_its_range(name):
    heads = [head for head in SECTIONS[name].items if is_number(head)]
    assert DIRECTIVES[name].numbers <= {head.partition("=")[0] for head in heads}
    for head in heads:
        assert range_of(SECTIONS[name].items[head]), head


def test_defaults_of_flags_are_those_that_are_merged():
    flags = {name for name in DIRECTIVES if DIRECTIVES[name].arity == {"NGX_CONF_FLAG"}}
    merged = source.defaults_of_flags()
    assert set(merged) == flags
    for name in flags:
        assert SECTIONS[name].default == f"{name} {merged[name]};"


@pytest.mark.parametrize("name", DIRECTIVES)
def test_since_is_a_version_of_the_changelog(name):
    titles = re.findall(r"^## (.+)$", (source.ROOT / "CHANGELOG.md").read_text(), re.M)
    assert SECTIONS[name].since in {title.split()[0].strip("[]").lower() for title in titles}


def test_every_variable_is_documented_and_none_else():
    assert source.embedded_variables() == {f"${name}" for name in source.variables()}


@pytest.mark.parametrize("old, new, check", [
    ("### comanda_redis", "### comanda_ready", test_every_directive_has_a_section_and_a_row_and_none_else),
    ("Context: http\n", "Context: http, server\n",
     lambda: test_contexts_and_module_are_those_of_the_command_table("comanda_tenant")),
    ("comanda_tenant NAME;", "comanda_tenant NAME NAME;",
     lambda: test_syntax_takes_as_many_words_as_the_command_table("comanda_tenant")),
    ("- `queue=N`", "- queue=N", lambda: test_parameters_are_those_that_the_code_reads("comanda_postgres")),
    ("[queue=N]", "", lambda: test_parameters_are_those_that_the_code_reads("comanda_postgres")),
    ("priority=normal|high];", "priority=high];",
     lambda: test_parameters_are_those_that_the_code_reads("comanda_command")),
    ("1 to 65,536", "many", lambda: test_every_number_has_its_range("comanda_postgres")),
    ("Default: comanda_problems off", "Default: comanda_problems on",
     test_defaults_of_flags_are_those_that_are_merged),
    ("- `$comanda_scopes`", "- `$comanda_scope`", test_every_variable_is_documented_and_none_else)])
def test_a_page_that_says_something_else_is_seen(monkeypatch, tmp_path, old, new, check):
    text = source.PAGE.read_text()
    assert old in text
    (tmp_path / "page.md").write_text(text.replace(old, new, 1))
    monkeypatch.setattr(source, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(sys.modules[__name__], "SECTIONS", source.sections())
    with pytest.raises(AssertionError):
        check()


# ---- What nginx says of the page ----------------------------------------------------------------

@pytest.fixture
def tried(make_nginx):
    """Gives nginx -t's (exit code, words) for an example."""
    nginx = make_nginx(files={"jwt.key": "k" * 32, "redis_password": "hush\n"})

    def run(example, modules=MODULES):
        (nginx.folder / "nginx.conf").write_text(configuration(example, nginx, modules))
        return nginx.test()

    return run


def placed(example):
    """Whole, as far as blocks go."""
    if re.match(r"http \{", example):
        return example
    if re.match(r"location ", example):
        return f"http {{\n    server {{\n        listen 8080;\n{example}    }}\n}}\n"
    return f"http {{\n{example}    server {{ listen 8080; }}\n}}\n"


def configuration(example, nginx, loaded):
    """A whole nginx.conf; what the examples take for granted stands in the test's folder."""
    modules = "".join(f"load_module {nginx.folder}/{name};\n" for name in loaded)
    if example.startswith("load_module"):
        modules, example = example, ""
    store = "" if "comanda_postgres" in example or loaded != MODULES else STORE
    text = placed(example).replace("http {", "http {" + HEAD + store, 1)
    text = f"{modules}pid {{folder}}/nginx.pid;\nevents {{ }}\n{text}"
    for place in ("/etc/comanda", "/usr/local/lib/comanda", "/var/log/nginx"):
        text = text.replace(place, str(nginx.folder))
    return text.replace("{folder}", str(nginx.folder)).replace("listen 8080",
                                                               f"listen 127.0.0.1:{nginx.port}")


def statement(name, word=None):
    """The first example that has this directive, with this parameter if one does: (example, it)."""
    found = [(example, line) for example in SECTIONS[name].examples
             for line in re.findall(rf"\b{name}\s[^;]*;|\b{name};", example)]
    with_word = [(example, line) for example, line in found if word and f" {word}=" in line]
    return (with_word or found)[0]


def set_word(name, word, value):
    """An example with the parameter set to this value; None: without it."""
    example, line = statement(name, word)
    without = re.sub(rf"\s+{word}=[^\s;]*", "", line)
    new = without if value is None else f"{without[:-1]} {word}={value};"
    return example.replace(line, new, 1)


def is_number(head):
    return re.fullmatch(r"\w+=(TIME|N\S*)", head) and not head.endswith("=NAME")


def range_of(said):
    found = re.search(r"(\d[\d,]*)(ms|s|m|h|) to (\d[\d,]*)(ms|s|m|h|)(?!\w)", said)
    return found and [part.replace(",", "") for part in found.groups()]


def around(head, said):
    """(value, is it taken) for both ends of a range and what lies one beyond each."""
    low, low_unit, high, high_unit = range_of(said)
    scale = {"": 1, "ms": 1, "s": 1000, "m": 60000, "h": 3600000}
    step = scale[low_unit]
    first, last = int(low) * step, int(high) * scale[high_unit]
    values = [(first, True), (last + step, False)]
    values += [(first - step, False)] if first > 0 else []
    values += [(last, True)] if head.partition("=")[0] not in TOO_LARGE_TO_TRY else []
    template = head.partition("=")[2].replace("TIME", "N")
    return [(template.replace("N", f"{value // step}{low_unit}"), taken) for value, taken in values]


def test_nginx_takes_every_example(tried):
    examples = source.examples_of(source.PAGE.read_text())
    assert all(SECTIONS[name].examples and statement(name) for name in SECTIONS)
    assert len(examples) > len(SECTIONS)
    for example in examples:
        code, said = tried(example)
        assert code == 0, f"{example}\n{said}"


def test_nginx_takes_every_default(tried):
    for section in SECTIONS.values():
        if section.default != "—":
            assert section.default.startswith(section.name + " ")
            code, said = tried(section.default + "\n")
            assert code == 0, said


def test_nginx_with_the_guard_module_alone_takes_what_is_said_to_be_in_it(tried):
    for example in source.examples_of(source.PAGE.read_text()):
        used = [DIRECTIVES[name] for name in re.findall(r"\bcomanda_\w+", example)
                if name in DIRECTIVES]
        if used:
            code, said = tried(example, MODULES[:1])
            assert (code == 0) == all(one.module == "guard" for one in used), f"{example}\n{said}"


def test_nginx_refuses_an_example_that_is_broken(tried):
    """So that the above can fail."""
    code, said = tried(statement("comanda_tenant")[0].replace("comanda_tenant", "comanda_tenants"))
    assert code == 1 and 'unknown directive "comanda_tenants"' in said
    code, said = tried("location / { add_header X $comanda_nothing; }\n")
    assert code == 1 and 'unknown "comanda_nothing" variable' in said


@pytest.mark.parametrize("name", DIRECTIVES)
def test_nginx_refuses_an_example_without_what_the_syntax_requires(tried, name):
    for form in SECTIONS[name].forms:
        for word in form.named():
            code, said = tried(set_word(name, word, None))
            assert code == 1 and name in said, f"without {word}=: {said}"


@pytest.mark.parametrize("name", DIRECTIVES)
def test_nginx_refuses_a_parameter_that_stands_twice(tried, name):
    example, line = statement(name)
    for word in re.findall(r"(?<= )[a-z_]+=[^\s;]+", line):
        code, said = tried(example.replace(line, f"{line[:-1]} {word};", 1))
        assert code == 1 and name in said, f"{word} twice: {said}"


@pytest.mark.parametrize("name, head", [(name, head) for name, section in SECTIONS.items()
                                        for head in section.items if is_number(head)])
def test_nginx_takes_the_range_that_is_said_and_no_more(tried, name, head):
    for value, taken in around(head, SECTIONS[name].items[head]):
        code, said = tried(set_word(name, head.partition("=")[0], value))
        assert (code == 0) == taken, f"{value}: {said}"
        assert taken or name in said
