# SPDX-License-Identifier: Apache-2.0
"""Rate limits that share a zone, whose key is the principal, and that meet subrequests, redirects
and `satisfy any`."""
import http.client
import time

import jwt
import pytest
import requests

from daemon import until
from nginx import Nginx
from upstream import Upstream

KEY = "0123456789abcdef0123456789abcdef"
HTTP = """
    comanda_problems on;
    comanda_limit_zone callers keys=1000;
"""


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def limited(start_nginx, upstream):
    """nginx with this server {}; {up} is the upstream's address, {proxy} leads there."""
    def start(server, http="", **options):
        server = server.replace("{proxy}", f"proxy_pass {upstream.url};")
        return start_nginx(server, http=HTTP + http, files={"key": KEY}, **options)
    return start


def token(subject="ana"):
    return jwt.encode({"sub": subject, "exp": int(time.time()) + 600}, KEY, algorithm="HS256")


def get(nginx, path="/", subject=None, method="GET"):
    headers = {"Authorization": f"Bearer {token(subject)}"} if subject else {}
    return requests.request(method, nginx.url + path, headers=headers, timeout=30)


def codes(nginx, count, path="/", **options):
    return [get(nginx, path, **options).status_code for _ in range(count)]


def fields(nginx, path):
    """The names of an answer's RateLimit fields, each as often as it stands there."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token()}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return sorted((name, value) for name, value in answer.getheaders()
                  if name.lower().startswith("ratelimit"))


# ---- One zone, several rates ---------------------------------------------------------------------

def test_a_slow_limit_does_not_lock_out_of_a_fast_one_of_the_same_zone_and_key(limited):
    nginx = limited("""
        location /slow { comanda_limit zone=callers key=$arg_who rate=1r/m burst=2; {proxy} }
        location /fast { comanda_limit zone=callers key=$arg_who rate=1r/m burst=20; {proxy} }""")
    assert codes(nginx, 3, "/slow?who=ana") == [200, 200, 429]
    assert codes(nginx, 21, "/fast?who=ana") == [200] * 20 + [429]
    assert codes(nginx, 1, "/slow?who=bruno") == [200]


def test_two_limits_of_one_zone_in_one_location_let_pass_what_the_tighter_one_does(limited):
    nginx = limited("""
        location / { comanda_limit zone=callers key=$arg_who rate=60r/m burst=40;
                     comanda_limit zone=callers key=$arg_who rate=1r/m burst=20; {proxy} }""")
    assert codes(nginx, 21, "/?who=ana") == [200] * 20 + [429]


def test_one_limit_that_is_written_in_two_places_is_one_limit(limited):
    nginx = limited("""
        location /a { comanda_limit zone=callers key=$arg_who rate=1r/m burst=2; {proxy} }
        location /b { comanda_limit zone=callers key=$arg_who rate=1r/m burst=2; {proxy} }""")
    assert codes(nginx, 1, "/a?who=ana") + codes(nginx, 2, "/b?who=ana") == [200, 200, 429]


def reload(nginx, server, upstream):
    old = set(nginx.workers())
    nginx.write(server.replace("{proxy}", f"proxy_pass {upstream.url};"), http=HTTP)
    nginx.reload()
    until(lambda: (now := set(nginx.workers())) and not old & now, "the old workers are gone")


def test_a_reload_that_relaxes_a_rate_lets_in_whom_it_tells_to_come_again(limited, upstream):
    server = "location / { comanda_limit zone=callers key=$arg_who rate=%s burst=3; {proxy} }"
    nginx = limited(server % "1r/m")
    assert codes(nginx, 4, "/?who=ana") == [200, 200, 200, 429]
    reload(nginx, server % "2r/s", upstream)
    refused = get(nginx, "/?who=ana")
    if refused.status_code == 429:
        assert refused.headers["Retry-After"] == "1"
        time.sleep(1)
        assert get(nginx, "/?who=ana").status_code == 200


def test_a_reload_that_keeps_a_rate_keeps_who_has_used_what(limited, upstream):
    server = "location / { comanda_limit zone=callers key=$arg_who rate=%s burst=2; {proxy} }"
    nginx = limited(server % "1r/m")
    assert codes(nginx, 3, "/?who=ana") == [200, 200, 429]
    reload(nginx, server % "2r/m", upstream)
    assert codes(nginx, 1, "/?who=ana") == [429]


def test_what_preaccess_charged_is_given_back_when_access_refuses(limited):
    nginx = limited("""
        location / { comanda_jwt key_file={folder}/key;
                     comanda_limit zone=callers key=$arg_all rate=1r/m burst=4;
                     comanda_limit zone=callers key=$comanda_subject rate=1r/m burst=1; {proxy} }""")
    assert codes(nginx, 4, "/?all=x", subject="ana") == [200, 429, 429, 429]
    assert [get(nginx, "/?all=x", subject=f"n{i}").status_code for i in range(4)] == [200] * 3 + [429]


def test_an_answer_has_one_set_of_fields_the_tightest(limited, upstream):
    upstream.headers = {"RateLimit": '"behind";r=9;t=1', "RateLimit-Policy": '"behind";q=9;w=1'}
    nginx = limited("""
        comanda_jwt key_file={folder}/key;
        comanda_limit zone=callers key=$arg_all rate=1r/m burst=5;
        comanda_limit zone=own key=$comanda_subject rate=1r/m burst=3;
        location / { {proxy} }
        location /wide { comanda_limit zone=callers key=$arg_all rate=1r/m burst=5;
                         comanda_limit zone=own key=$comanda_subject rate=1r/m burst=9;
                         {proxy} }""", http="comanda_limit_zone own keys=1000;")
    assert fields(nginx, "/?all=x") == [("RateLimit", '"own";r=2;t=60'),
                                        ("RateLimit-Policy", '"own";q=3;w=180')]
    assert fields(nginx, "/wide?all=x") == [("RateLimit", '"callers";r=3;t=120'),
                                            ("RateLimit-Policy", '"callers";q=5;w=300')]
    for _ in range(3):
        refused = fields(nginx, "/?all=x")
    assert [value.split(";")[:2] for _, value in refused] == [['"own"', "r=0"], ['"own"', "q=3"]]


# ---- Whose key is the principal ------------------------------------------------------------------

GUARDED = "comanda_jwt key_file={folder}/key; comanda_limit zone=callers rate=1r/m burst=2 "


@pytest.mark.parametrize("http, server", [
    ("", "key=$comanda_subject;"),
    ("", "key=a-${comanda_subject};"),
    ("map $comanda_subject $who { volatile; default $comanda_subject; }", "key=$who;"),
    ("map $comanda_subject $who { '' $remote_addr; default $comanda_subject; }", "key=$who;"),
    ("map $comanda_subject $who { default $comanda_subject; }", "key=$who phase=preaccess;"),
    ("map $comanda_subject $inner { default $comanda_subject; } map $inner $who { default $inner; }",
     "key=$who;"),
    ("map $comanda_subject $who { volatile; default $comanda_subject; }",
     "key=$who phase=access; set $x $who;"),
    ("map $comanda_subject $who { default $comanda_subject; }", "key=$who; set $x $who;"),
    ("map $comanda_subject $who { default $comanda_subject; }", "key=$who; if ($who) { break; }")])
def test_a_key_that_needs_the_principal_waits_for_him(limited, http, server):
    nginx = limited(f"error_log {{folder}}/warnings warn; location / {{ set $y $comanda_scopes;"
                    f"{GUARDED} {server} add_header Y a$y; {{proxy}} }}", http=http)
    assert codes(nginx, 3, subject="ana") == [200, 200, 429]
    assert codes(nginx, 1, subject="bruno") == [200]
    assert "uninitialized" not in (nginx.folder / "warnings").read_text()


@pytest.mark.parametrize("key", ["$comanda_subject", "x-${comanda_scopes}"])
def test_preaccess_for_a_key_that_needs_the_principal_is_refused(key):
    nginx = Nginx(f"comanda_limit zone=z key={key} rate=1r/m phase=preaccess;",
                  http="comanda_limit_zone z keys=100;")
    try:
        code, message = nginx.test()
        assert code != 0 and "comanda_limit\" directive says phase=preaccess" in message, message
        assert "nginx.conf:" in message
    finally:
        nginx.remove()


@pytest.mark.parametrize("rule, subject", [
    ("satisfy any; allow 127.0.0.1; deny all;", "ana"), ("satisfy any; allow 127.0.0.1; deny all;", None),
    ("satisfy any; deny all;", "ana"), ("satisfy all; allow 127.0.0.1; deny all;", "ana")])
def test_a_limit_after_access_runs_whoever_granted_it(limited, rule, subject):
    nginx = limited(f"""
        location / {{ {rule} comanda_jwt key_file={{folder}}/key;
            comanda_limit zone=callers key=$arg_who rate=1r/m burst=2 phase=access; {{proxy}} }}""")
    assert codes(nginx, 3, "/?who=ana", subject=subject) == [200, 200, 429]


def test_the_page_of_a_refusal_is_not_limited_again(limited):
    nginx = limited("""
        comanda_jwt key_file={folder}/key;
        comanda_limit zone=callers key=$arg_who rate=1r/m burst=1;
        comanda_limit zone=callers key=$comanda_subject rate=1r/m burst=2;
        error_page 429 /page;
        location / { {proxy} }
        location = /page { {proxy} }""")
    assert codes(nginx, 1, "/?who=ana", subject="ana") == [200]
    for who in ("ana", "bruno", "carla"):
        answer = get(nginx, f"/?who={who}", subject="ana")
        assert answer.status_code == (200 if who == "bruno" else 429) and answer.text == "ok\n"
    assert answer.headers["RateLimit"].startswith('"callers";r=0;') and answer.headers["Retry-After"]


@pytest.mark.parametrize("content", [
    "try_files /none @behind;", "try_files /none /behind;", "error_page 404 = @behind; root /none;"])
def test_a_request_is_charged_once_whatever_answers_it(limited, content):
    nginx = limited(f"""
        comanda_jwt key_file={{folder}}/key;
        comanda_limit zone=callers key=$arg_who rate=1r/m burst=3;
        comanda_limit zone=callers key=$comanda_subject rate=1r/m burst=2;
        location / {{ {content} }}
        location /behind {{ {{proxy}} }}
        location @behind {{ {{proxy}} }}""")
    assert codes(nginx, 3, "/?who=ana", subject="ana") == [200, 200, 429]
    assert codes(nginx, 2, "/?who=ana", subject="bruno") == [200, 429]


def test_a_redirect_to_a_location_with_a_limit_of_its_own_is_charged_there_too(limited):
    nginx = limited("""
        location / { comanda_limit zone=callers key=$arg_who rate=1r/m burst=5;
                     try_files /none @behind; }
        location @behind { comanda_limit zone=callers key=$arg_who rate=1r/m burst=2; {proxy} }""")
    assert codes(nginx, 3, "/?who=ana") == [200, 200, 429]


def test_subrequests_are_not_charged(limited, upstream):
    nginx = limited("""
        location / { auth_request /ask; mirror /copy;
                     comanda_limit zone=callers key=$arg_who rate=1r/m burst=2; {proxy} }
        location = /ask { comanda_limit zone=callers key=$arg_who rate=1r/m burst=1; {proxy} }
        location = /copy { comanda_limit zone=callers key=$arg_who rate=1r/m burst=1; {proxy} }""")
    assert codes(nginx, 3, "/?who=ana") == [200, 200, 429]
