# SPDX-License-Identifier: Apache-2.0
"""The documents say what the code does: problems, directives, exchanges and queues."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def source(pattern):
    return "\n".join(path.read_text() for path in sorted(ROOT.glob(pattern)))


def documented(page):
    """What stands in backticks in the first column of a page's tables."""
    rows = re.findall(r"^\| `([^`\s;]+)", (ROOT / page).read_text(), re.M)
    return set(rows)


def test_every_problem_that_the_edge_answers_is_documented_and_none_else():
    edge = source("ngx_module/*/*.c")
    slugs = set(re.findall(r'(?:NGX_HTTP_[A-Z_]+|status|\b[45]\d\d),\s*STR\("([a-z-]+)"\)', edge))
    slugs |= set(re.findall(r'\b(?:0|[45]\d\d), TEXT\("([a-z-]+)"\)', edge))
    slugs |= set(re.findall(r'decision_reject\(decision, STR\("([a-z-]+)"\)',
                            source("common/domain/ordering/*.c")))
    wanted = documented("docs/problems.md")
    assert slugs - wanted == set(), "answered, but not in docs/problems.md"
    assert wanted - slugs == set(), "in docs/problems.md, but never answered"


def test_every_directive_is_documented_and_none_else():
    """What is said of each is compared in test_directives_page.py."""
    names = set(re.findall(r'\.name = ngx_string\("(comanda_[a-z_]+)"\)',
                           source("ngx_module/*/*.c")))
    page = (ROOT / "docs" / "directives.md").read_text()
    directives = names - {"comanda_subject", "comanda_scopes"}  # variables
    assert sorted(re.findall(r"^### (\S+)$", page, re.M)) == sorted(directives)
    assert set(re.findall(r"^\| \[(comanda_\w+)\]", page, re.M)) == directives


def heading_ids(text):
    """Anchors as the usual renderers make them."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.M)}


def test_every_relative_link_of_the_documents_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages
             for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
             if not re.match(r"[a-z]+:", link)]
    assert len(links) >= 5
    for page, link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.relative_to(ROOT)}: {link}"
        assert not anchor or anchor in heading_ids(target.read_text()), f"{page.name}: {link}"


def test_a_printed_seed_is_given_back_by_one_name():
    """As CONTRIBUTING.md says."""
    assert "`COMANDA_SEED` runs it again" in (ROOT / "CONTRIBUTING.md").read_text()
    read = set(re.findall(r'(?:getenv\(|environ\.get\()"(\w*SEED)"',
                          source("tests/**/*.[ch]") + source("tests/**/*.py")))
    assert read == {"COMANDA_SEED"}
