# SPDX-License-Identifier: Apache-2.0
"""Tokens, rate limits, shedding and problems in front of an ordinary proxy_pass, and what
nginx -t says of a wrong setting."""
import concurrent.futures
import re
import socket
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
    comanda_correlation on;
    comanda_limit_zone callers keys=1000;
    comanda_shed_zone reports;
"""


@pytest.fixture
def upstream():
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


def token(subject="ana", scope="reports:read", key=KEY, **claims):
    return jwt.encode({"sub": subject, "exp": int(time.time()) + 600, "scope": scope, **claims},
                      key, algorithm="HS256")


def get(nginx, path="/", bearer=None, **options):
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    headers.update(options.pop("headers", {}))
    return requests.get(nginx.url + path, headers=headers, timeout=30, **options)


def reload(nginx):
    old = set(nginx.workers())
    nginx.reload()
    until(lambda: (now := set(nginx.workers())) and not old & now, "the old workers are gone")


def guarded(start_nginx, upstream, directives, **options):
    return start_nginx(f"location / {{ {directives} proxy_pass {upstream.url}; }}", http=HTTP,
                       files={"key": KEY + "\n"}, **options)


# ---- Tokens --------------------------------------------------------------------------------------

def test_a_token_guards_any_upstream(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream, "comanda_jwt key_file={folder}/key;"
                                           "comanda_require_scope reports:read;")
    assert get(nginx).status_code == 401
    assert get(nginx, bearer=token(key="x" * 32)).status_code == 401
    assert get(nginx, bearer=token(scope="reports:write")).status_code == 403
    upstream.seen.clear()
    for _ in range(3):  # verified, then from memory
        assert get(nginx, bearer=token()).text == "ok\n"
    assert len(upstream.seen) == 3


def test_issuer_and_audience_are_checked_when_configured(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream,
                    "comanda_jwt key_file={folder}/key issuer=https://id.example audience=shop;")
    assert get(nginx, bearer=token()).status_code == 401
    assert get(nginx, bearer=token(iss="https://id.example", aud="other")).status_code == 401
    assert get(nginx, bearer=token(iss="https://id.example", aud=["x", "shop"])).status_code == 200


def test_a_claim_never_becomes_a_header_of_its_own(start_nginx, upstream):
    """Red before for scope: the upstream got `X-Admin: 1`."""
    nginx = guarded(start_nginx, upstream, "comanda_jwt key_file={folder}/key;"
                                           "proxy_set_header X-Subject $comanda_subject;"
                                           "proxy_set_header X-Scopes $comanda_scopes;")
    for text in ("a\r\nX-Admin: 1", "a\nX-Admin: 1", "a\tb", "a\0b", "a\x7fb"):
        for bearer in (token(subject=text), token(scope=text)):
            answer = get(nginx, bearer=bearer)
            assert (answer.status_code, upstream.seen) == (401, []), text
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert get(nginx, bearer=token(scope="a b")).status_code == 200
    assert (upstream.seen[-1]["X-Subject"], upstream.seen[-1]["X-Scopes"]) == ("ana", "a b")


def token_of(length):
    """A token of so many bytes; base64url has lengths that only a longer header reaches."""
    for kid in ("", "x", "xx"):
        for padding in range(3 * (length - 300) // 4, length):
            made = jwt.encode({"sub": "ana", "exp": int(time.time()) + 600, "p": "x" * padding},
                              KEY, algorithm="HS256", headers={"kid": kid} if kid else None)
            if len(made) >= length:
                break
        if len(made) == length:
            return made
    raise AssertionError(f"no token of {length} bytes")


def test_the_longest_token_is_taken_and_a_longer_one_told_so(start_nginx, upstream):
    """nginx's own 8k a line would refuse it before anybody looks: hence the setting, which our
    conf/nginx has."""
    nginx = guarded(start_nginx, upstream, "comanda_jwt key_file={folder}/key;")
    assert get(nginx, bearer=token_of(8192)).status_code == 400
    nginx.write(f"""large_client_header_buffers 4 16k;
                    location / {{ comanda_jwt key_file={{folder}}/key; proxy_pass {upstream.url};
                                  proxy_set_header Authorization ""; }}""", http=HTTP)
    reload(nginx)
    assert get(nginx, bearer=token_of(8192)).status_code == 200
    answer = get(nginx, bearer=token_of(8193))
    assert (answer.status_code, answer.json()["detail"]) == \
        (401, "the token is longer than 8192 bytes")
    assert "error=\"invalid_token\", error_description=\"the token is longer than 8192 bytes\"" in \
        answer.headers["WWW-Authenticate"]
    assert get(nginx, bearer="x" * 16384).status_code == 400


def test_a_token_says_what_it_is_as_the_rfcs_write_it(start_nginx, upstream):
    """Red before: 401 for `application/at+jwt`."""
    nginx = guarded(start_nginx, upstream, "comanda_jwt key_file={folder}/key;")
    for typ, status in [("at+JWT", 200), ("application/at+jwt", 200), ("application/JWT", 200),
                        ("logout+jwt", 401), ("application/logout+jwt", 401)]:
        made = jwt.encode({"sub": "ana", "exp": int(time.time()) + 600}, KEY, algorithm="HS256",
                          headers={"typ": typ})
        assert get(nginx, bearer=made).status_code == status, typ


def test_a_remembered_token_ends_with_its_expiry(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream, "comanda_jwt key_file={folder}/key;")

    def accepted():
        minted = token(exp=int(time.time()) + 2)
        return get(nginx, bearer=minted).status_code == 200 and minted
    bearer = until(accepted, "one that arrives before it expires")
    until(lambda: get(nginx, bearer=bearer).status_code == 401, "it expires", 30)


def test_a_changed_key_counts_after_a_reload(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream, "comanda_jwt key_file={folder}/key;")
    assert get(nginx, bearer=token()).status_code == 200
    (nginx.folder / "key").write_text("f" * 32)
    reload(nginx)
    assert get(nginx, bearer=token(key="f" * 32)).status_code == 200
    assert get(nginx, bearer=token()).status_code == 401


def test_given_a_redirect_to_another_key_then_the_token_is_verified_anew(start_nginx, upstream):
    nginx = start_nginx(f"""
        location /own {{ comanda_jwt key_file={{folder}}/key; try_files /none @own; }}
        location /others {{ comanda_jwt key_file={{folder}}/key; try_files /none @others; }}
        location @own {{ comanda_jwt key_file={{folder}}/key; proxy_pass {upstream.url}; }}
        location @others {{ comanda_jwt key_file={{folder}}/other; proxy_pass {upstream.url}; }}
        """, http=HTTP, files={"key": KEY, "other": "o" * 32})
    assert get(nginx, "/own", bearer=token()).status_code == 200
    assert get(nginx, "/others", bearer=token()).status_code == 401


# ---- Rates ---------------------------------------------------------------------------------------

def test_a_burst_passes_and_what_follows_is_429(start_nginx, upstream):
    nginx = start_nginx(f"""
        location / {{ comanda_limit zone=callers key=$arg_who rate=1r/m burst=3;
                      proxy_pass {upstream.url}; }}
        location = /m {{ comanda_metrics; }}""", http=HTTP)
    answers = [get(nginx, "/?who=ana") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["RateLimit"].startswith('"callers";r=2;t=')
    assert answers[0].headers["RateLimit-Policy"] == '"callers";q=3;w=180'
    refused = answers[3]
    assert refused.json()["type"] == "urn:comanda:problem:rate-limited"
    assert refused.headers["RateLimit"].startswith('"callers";r=0;t=')
    assert get(nginx, "/?who=bruno").status_code == 200
    assert get(nginx, "/").status_code == 200  # an empty key is not limited
    assert "\ncomanda_rate_limited_total 2\n" in get(nginx, "/m").text


def test_who_asks_again_after_what_the_refusal_says_is_let_in(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream, "comanda_limit zone=callers key=$arg_who rate=1r/s burst=1;")

    def refused():
        answer = get(nginx, "/?who=ana")
        return answer.status_code == 429 and answer.headers["Retry-After"]
    time.sleep(int(until(refused, "two come within a second", every=0)))
    assert get(nginx, "/?who=ana").status_code == 200


def test_the_rate_is_kept_over_time_and_across_workers(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream,
                    "comanda_limit zone=callers key=$arg_who rate=20r/s burst=1;", workers=2)
    began, passed = time.monotonic(), 0
    while passed < 40:
        assert time.monotonic() - began < 60, f"only {passed} have passed"
        passed += get(nginx, "/?who=ana").status_code == 200
    assert passed <= 20 * (time.monotonic() - began) + 1


def test_a_reload_keeps_who_has_used_what(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream,
                    "comanda_limit zone=callers key=$arg_who rate=1r/m burst=2;")
    assert [get(nginx, "/?who=ana").status_code for _ in range(3)] == [200, 200, 429]
    reload(nginx)
    assert get(nginx, "/?who=ana").status_code == 429


def test_what_one_limit_refuses_is_not_charged_by_another(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream,
                    "comanda_limit zone=callers key=all-$arg_all rate=1r/m burst=4;"
                    "comanda_limit zone=callers key=one-$arg_who rate=1r/m burst=1;")
    assert [get(nginx, "/?all=x&who=ana").status_code for _ in range(6)] == [200] + [429] * 5
    assert [get(nginx, f"/?all=x&who={n}").status_code for n in range(4)] == [200, 200, 200, 429]


def test_an_internal_redirect_is_charged_once(start_nginx, upstream):
    nginx = start_nginx(f"""
        comanda_limit zone=callers key=$arg_who rate=1r/m burst=2;
        location / {{ try_files /none @behind; }}
        location @behind {{ proxy_pass {upstream.url}; }}""", http=HTTP)
    assert [get(nginx, "/?who=ana").status_code for _ in range(3)] == [200, 200, 429]


def test_a_principal_is_limited_after_his_token_and_a_refused_one_is_not(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream,
                    "comanda_jwt key_file={folder}/key; comanda_limit zone=callers "
                    "key=$comanda_subject rate=1r/m burst=2 phase=access;")
    for _ in range(5):
        assert get(nginx, bearer=token(key="x" * 32)).status_code == 401
    assert [get(nginx, bearer=token()).status_code for _ in range(3)] == [200, 200, 429]
    assert get(nginx, bearer=token("bruno")).status_code == 200


# ---- Shedding ------------------------------------------------------------------------------------

SHED = """
    location /normal {{ comanda_shed zone=reports budget={budget}; proxy_pass {url}; }}
    location /high {{ comanda_shed zone=reports budget={budget} priority=high; proxy_pass {url}; }}"""


def crowd(pool, nginx, upstream, count):
    """Sends so many at once to a server that holds what it gets, and waits until each is there or
    refused."""
    before = len(upstream.seen)
    sent = [pool.submit(get, nginx, "/normal") for _ in range(count)]
    until(lambda: sum(each.done() for each in sent) + len(upstream.seen) - before == count,
          "all have come")
    return sent


# Seconds within a budget are far more than the machine's own delays, which count as well.

def test_what_would_come_too_late_is_refused_at_once(start_nginx, upstream):
    upstream.seconds = 0.5
    nginx = start_nginx(SHED.format(budget="20s", url=upstream.url), http=HTTP)
    assert get(nginx, "/normal").status_code == 200  # teaches it the server's time
    with concurrent.futures.ThreadPoolExecutor(48) as pool, upstream.held():
        sent = crowd(pool, nginx, upstream, 48)
        refused = [each.result() for each in sent if each.done()]
    codes = [each.result().status_code for each in sent]
    assert codes.count(200) >= 3 and codes.count(503) >= 15
    assert {answer.status_code for answer in refused} == {503}
    assert len(refused) == codes.count(503)
    assert refused[0].json()["type"] == "urn:comanda:problem:overloaded"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert get(nginx, "/normal").status_code == 200  # idle again: nothing is refused


def test_the_important_go_on_when_the_others_are_shed(start_nginx, upstream):
    upstream.seconds = 1
    nginx = start_nginx(SHED.format(budget="60s", url=upstream.url), http=HTTP)
    assert get(nginx, "/normal").status_code == 200
    with concurrent.futures.ThreadPoolExecutor(60) as pool, upstream.held():
        sent = crowd(pool, nginx, upstream, 59)
        assert 503 in [each.result().status_code for each in sent if each.done()]
        held = len(upstream.seen)
        high = pool.submit(get, nginx, "/high")
        until(lambda: high.done() or len(upstream.seen) > held, "the important one has come")
    assert high.result().status_code == 200


def test_a_server_that_hangs_is_not_waited_for_by_everybody(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream, "comanda_shed zone=reports budget=500ms;")
    assert get(nginx).status_code == 200
    with concurrent.futures.ThreadPoolExecutor(1) as pool, upstream.held():
        before = len(upstream.seen)
        waiting = pool.submit(get, nginx)
        until(lambda: len(upstream.seen) > before, "one is held")
        time.sleep(1)
        assert get(nginx).status_code == 503
        assert not waiting.done()
    assert waiting.result().status_code == 200


# ---- Problems, bodies, correlation ---------------------------------------------------------------

def test_an_upstreams_own_errors_are_left_alone(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream, "")
    upstream.shutdown()
    upstream.server_close()
    answer = get(nginx)
    assert answer.status_code == 502
    assert answer.json()["type"] == "urn:comanda:problem:bad-gateway"


def test_a_method_that_a_file_does_not_take_is_answered_with_those_that_it_does(start_nginx):
    nginx = start_nginx("location / { root {folder}; }", http=HTTP)
    allowed = {method: requests.request(method, nginx.url + "/nginx.conf", timeout=30).headers["Allow"]
               for method in ("POST", "PUT", "TRACE")}
    assert allowed == {"POST": "GET, HEAD", "PUT": "GET, HEAD", "TRACE": "GET, HEAD, POST"}


def test_correlation_and_trace_reach_the_upstream(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream,
                    "proxy_set_header traceparent $comanda_traceparent;"
                    "proxy_set_header Comanda-Correlation-Id $comanda_correlation_id;")
    answer = get(nginx, headers={"Comanda-Correlation-Id": "abc"})
    seen = {name.lower(): value for name, value in upstream.seen[-1].items()}
    assert seen["comanda-correlation-id"] == "abc" == answer.headers["Comanda-Correlation-Id"]
    assert seen["traceparent"] == answer.headers["traceparent"]


@pytest.mark.parametrize("sent, continued", [
    ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True),
    ("01-" + "a" * 32 + "-" + "b" * 16 + "-01-more", True),
    ("cc-" + "a" * 32 + "-" + "b" * 16 + "-00", True),
    ("00-" + "a" * 32 + "-" + "b" * 16 + "-01-more", False),
    ("01-" + "a" * 32 + "-" + "b" * 16 + "-01more", False),
    ("ff-" + "a" * 32 + "-" + "b" * 16 + "-01", False),
    ("00-" + "0" * 32 + "-" + "b" * 16 + "-01", False),
    ("01-" + "a" * 32, False)])
def test_a_trace_is_continued_when_it_is_one(start_nginx, upstream, sent, continued):
    nginx = guarded(start_nginx, upstream, "")
    found = get(nginx, headers={"traceparent": sent}).headers["traceparent"]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", found)
    assert (found.split("-")[1] == "a" * 32) == continued
    assert found.split("-")[2] != "b" * 16


def test_a_zone_that_is_too_small_says_so(start_nginx, upstream):
    nginx = start_nginx(f"location / {{ comanda_limit zone=small key=$arg_who rate=1r/m;"
                        f" proxy_pass {upstream.url}; }} location = /m {{ comanda_metrics; }}",
                        http="comanda_limit_zone small keys=64;")
    with requests.Session() as session:
        for who in range(200):
            session.get(f"{nginx.url}/?who={who}", timeout=30)
        page = session.get(nginx.url + "/m", timeout=30).text
    evicted = float(re.search(r"^comanda_limit_evictions_total (\S+)$", page, re.M)[1])
    assert 136 <= evicted < 200


def test_a_refusal_reads_the_body_away(start_nginx, upstream):
    nginx = guarded(start_nginx, upstream, "comanda_jwt key_file={folder}/key;")
    hidden = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=20) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(hidden)
                           + hidden + last)
        received = connection.makefile("rb").read()
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 401 ") == 2


# ---- What nginx -t says --------------------------------------------------------------------------

@pytest.mark.parametrize("server,http,said", [
    ("comanda_jwt key_file={folder}/none;", "", "No such file"),
    ("comanda_jwt key_file={folder}/short;", "", "32 to 1024 bytes, and holds 5"),
    ("comanda_jwt issuer=x;", "", "needs key_file"),
    ("comanda_jwt key_file={folder}/key leeway=1h;", "", "leeway=0s to 300s"),
    ("comanda_jwt key_file={folder}/key colour=red;", "", '"colour=red" is not'),
    ("comanda_jwt key_file={folder}/key; comanda_jwt off;", "", "stands twice"),
    ("comanda_require_scope \"a b\";", "", "scopes as words of their own"),
    ("comanda_require_scope \"\";", "", "scopes as words of their own"),
    ("comanda_require_scope a;", "", "needs a comanda_jwt"),
    ("comanda_jwt off; comanda_require_scope a;", "", "comanda_jwt is off"),
    ("comanda_jwt off; location / { comanda_require_scope a; }", "", "comanda_jwt is off"),
    ("", "comanda_jwt off; comanda_require_scope a;", "comanda_jwt is off"),
    ("comanda_limit zone=none key=$arg_a rate=1r/s;", "", '"zone=none" is not'),
    ("comanda_limit zone=z key=$arg_a rate=0r/s;", "comanda_limit_zone z keys=100;",
     '"rate=0r/s" is not'),
    ("comanda_limit zone=z key=$arg_a rate=1r/s burst=0;", "comanda_limit_zone z keys=100;",
     '"burst=0" is not'),
    ("comanda_limit zone=z rate=1r/s;", "comanda_limit_zone z keys=100;", "needs zone=NAME key="),
    ("", "comanda_limit_zone z keys=1;", '"keys=1" is not'),
    ("", "comanda_limit_zone z keys=64; comanda_limit_zone z keys=64;", "a second time"),
    ("comanda_shed zone=none budget=1s;", "", '"zone=none" is not'),
    ("comanda_shed zone=s;", "comanda_shed_zone s;", "needs budget=TIME"),
    ("comanda_shed budget=1s;", "", "needs by=postgres or zone=NAME"),
    ("comanda_shed by=postgres;", "", "needs a comanda_postgres"),
    ("comanda_shed by=postgres zone=s budget=1s;", "comanda_shed_zone s;", "not both"),
    ("comanda_shed zone=s by=postgres budget=1s;", "comanda_shed_zone s;", "not both"),
    ("comanda_shed zone=s budget=0s;", "comanda_shed_zone s;", '"budget=0s" is not'),
    ("comanda_shed by=backlog;", "", "by=backlog needs a comanda_postgres above"),
    ("comanda_shed by=backlog budget=1s;", "", "by=backlog takes nothing beside it"),
    ("comanda_shed by=postgres by=backlog;", "", "by=backlog takes nothing beside it"),
    ("comanda_backlog_max 999ms;", "", 'comanda_backlog_max "999ms": give 1s to 1h'),
    ("comanda_backlog_max 61m;", "", "give 1s to 1h"),
    ("comanda_backlog_max soon;", "", "give 1s to 1h"),
    ("comanda_backlog_max 1s; comanda_backlog_max 2s;", "", "stands twice at this level"),
    ("comanda_problems maybe;", "", 'invalid value "maybe"')])
def test_a_wrong_setting_is_named_with_its_line(server, http, said):
    nginx = Nginx(server, http=http, files={"key": KEY, "short": "short"})
    try:
        code, message = nginx.test()
        assert code != 0 and said in message, message
        assert "nginx.conf:" in message
    finally:
        nginx.remove()
