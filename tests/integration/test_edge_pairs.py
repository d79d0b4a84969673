# SPDX-License-Identifier: Apache-2.0
"""Every guard at every level that it allows, in pairs with all the others, over both protocols, with one
worker and with four, before and after a reload."""
import itertools
import json
import subprocess

import pytest

from test_edge_guard import KEY, reload, token
from upstream import Upstream

LEVELS = ("http", "server", "location")
FACTORS = {
    "jwt": LEVELS, "scope": LEVELS, "limit": LEVELS, "shed": LEVELS, "problems": (*LEVELS, "off"),
    "correlation": (*LEVELS, "off"), "cors": LEVELS, "protocol": ("1.1", "2"), "workers": (1, 4),
    "reloaded": (False, True), "content": ("proxied", "named", "health"),
}
ORIGIN = "https://shop.example"
BURST = 3
DIRECTIVES = {
    "jwt": "comanda_jwt key_file={folder}/key;",
    "scope": "comanda_require_scope reports:read;",
    "limit": f"comanda_limit zone=callers key=$comanda_subject rate=1r/m burst={BURST};",
    "shed": "comanda_shed zone=reports budget=60s;",
    "problems": "comanda_problems on;",
    "correlation": "comanda_correlation on;",
    "cors": f"comanda_cors origins={ORIGIN};",
}


def pairs_of(row):
    return set(itertools.combinations(sorted(row.items()), 2))


def rows():
    """So many that each value of a factor meets each of every other at least once; greedy, and the
    same each time."""
    names = sorted(FACTORS)
    left = {((one, a), (other, b)) for one, other in itertools.combinations(names, 2)
            for a in FACTORS[one] for b in FACTORS[other]}
    made = []
    while left:
        row = dict(min(left, key=repr))
        for name in names:
            if name not in row:
                row[name] = max(FACTORS[name],
                                key=lambda value: len(pairs_of({**row, name: value}) & left))
        left -= pairs_of(row)
        made.append(row)
    return made


def at(row, level):
    """What stands at this level. A scope stands no higher than the token that it asks about."""
    def place_of(name):
        place = row[name]
        if name == "scope":
            place = max(place, row["jwt"], key=LEVELS.index)
        return place
    return " ".join(text for name, text in DIRECTIVES.items() if place_of(name) == level)


def server_of(row, upstream):
    here = at(row, "location")
    served = {
        "proxied": f"location /app {{ {here} proxy_pass {upstream.url}; }}",
        "named": f"location /app {{ {here} try_files /none @app; }}"
                 f"location @app {{ {here} proxy_pass {upstream.url}; }}",
        "health": f"location /app {{ {here} comanda_health live; }}",
    }[row["content"]]
    return at(row, "server") + served + """
        location = /missing { comanda_jwt off; comanda_limit off; return 404; }"""


class Answer:
    def __init__(self, text):
        head, _, self.text = text.partition("\r\n\r\n")
        lines = head.split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            assert name.lower() not in self.headers, f"{name} stands twice"
            self.headers[name.lower()] = value.strip()


def ask(nginx, row, path, *headers, method="GET"):
    version = "--http2-prior-knowledge" if row["protocol"] == "2" else "--http1.1"
    done = subprocess.run(
        ["curl", "-s", "-i", "--max-time", "30", version, "-X", method, nginx.url + path,
         *itertools.chain.from_iterable(("-H", header) for header in headers)],
        capture_output=True, check=True)
    return Answer(done.stdout.decode())


def check(nginx, row, subject):
    bearer = "Authorization: Bearer " + token(subject)
    refused = ask(nginx, row, "/app", f"Origin: {ORIGIN}")
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.text)["type"] == "urn:comanda:problem:unauthorized"
    foreign = ask(nginx, row, "/app", "Authorization: Bearer " + token(subject, "other"))
    assert foreign.status == 403
    assert json.loads(foreign.text)["type"] == "urn:comanda:problem:insufficient-scope"
    good = [ask(nginx, row, "/app", bearer, f"Origin: {ORIGIN}", "Comanda-Correlation-Id: mine")
            for _ in range(BURST)]
    assert [answer.status for answer in good] == [200] * BURST
    assert [answer.headers["ratelimit"].split(";")[1] for answer in good] == ["r=2", "r=1", "r=0"]
    limited = ask(nginx, row, "/app", bearer, f"Origin: {ORIGIN}")
    assert limited.status == 429 and int(limited.headers["retry-after"]) >= 1
    for answer in (refused, *good, limited):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert ("traceparent" in answer.headers) == (row["correlation"] != "off")
    if row["correlation"] != "off":
        assert good[0].headers["comanda-correlation-id"] == "mine"
    preflight = ask(nginx, row, "/app", f"Origin: {ORIGIN}", "Access-Control-Request-Method: GET",
                    method="OPTIONS")
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, ORIGIN)
    missing = ask(nginx, row, "/missing")
    wanted = "application/problem+json" if row["problems"] in ("http", "server") else "text/html"
    assert (missing.status, missing.headers["content-type"]) == (404, wanted)


@pytest.fixture(scope="module")
def upstream():
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


def name_of(row):
    return " ".join(f"{name}={row[name]}" for name in FACTORS)


@pytest.mark.parametrize("row", rows(), ids=name_of)
def test_guards_mean_the_same_wherever_they_stand(make_nginx, upstream, row):
    http = "comanda_limit_zone callers keys=1000; comanda_shed_zone reports;" + at(row, "http")
    nginx = make_nginx(server_of(row, upstream), http=http, files={"key": KEY},
                       workers=row["workers"])
    if row["protocol"] == "2":
        text = (nginx.folder / "nginx.conf").read_text()
        (nginx.folder / "nginx.conf").write_text(
            text.replace(f"listen 127.0.0.1:{nginx.port};", f"listen 127.0.0.1:{nginx.port} http2;"))
    nginx.answers = lambda: (nginx.folder / "nginx.pid").exists() and up(nginx, row)
    nginx.start()
    check(nginx, row, "ana")
    if row["reloaded"]:
        reload(nginx)
        check(nginx, row, "bruno")
    assert nginx.stop() == 0
    assert not [line for line in nginx.log.read_text().splitlines()
                if "[alert]" in line or "[emerg]" in line or "[crit]" in line]


def up(nginx, row):
    try:
        return ask(nginx, row, "/missing").status == 404
    except subprocess.CalledProcessError:
        return False
