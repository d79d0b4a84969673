# SPDX-License-Identifier: Apache-2.0
"""Refusals go nginx's way: error_page, satisfy, and pages that somebody wrote."""
import base64
import hashlib
import http.client
import socket

import pytest
import requests

from test_edge_guard import HTTP, KEY, get, token, upstream  # noqa: F401

JWT = "comanda_jwt key_file={folder}/key realm=shop;"
SHA = "{SHA}" + base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
PROBLEM = "application/problem+json"


@pytest.fixture
def edge(start_nginx):
    def start(server, http="", **options):
        files = {"key": KEY, "users": "bob:" + SHA + "\n", "page.html": "<p>mine</p>"}
        return start_nginx(server, http=http, files=files, **options)
    return start


def basic(name="bob", password="secret"):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def slug(answer):
    assert answer.headers["Content-Type"] == PROBLEM, answer.text
    return answer.json()["type"].rsplit(":", 1)[1]


# ---- error_page ----------------------------------------------------------------------------------

@pytest.mark.parametrize("problems", ["on", "off"])
def test_a_refusal_is_a_problem_whatever_comanda_problems_says(edge, problems):
    nginx = edge(f"location / {{ comanda_problems {problems}; {JWT} comanda_require_scope a; return 404; }}"
                 f"location /served {{ {JWT} comanda_require_scope a; comanda_metrics; }}")
    refused = get(nginx, "/served")
    assert (refused.status_code, slug(refused)) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="shop"')
    foreign = get(nginx, "/served", bearer=token(scope="b"))
    assert (foreign.status_code, slug(foreign)) == (403, "insufficient-scope")
    assert 'scope="a"' in foreign.headers["WWW-Authenticate"]


def test_error_page_catches_the_refusals_of_guards(edge, upstream):  # noqa: F811
    """Red before: the guards answered by themselves."""
    nginx = edge(f"""
        error_page 401 @login;
        error_page 403 =418 /teapot;
        error_page 429 503 /slow;
        location @login {{ return 401 "log in first"; }}
        location = /teapot {{ return 200 "a teapot"; }}
        location = /slow {{ return 200 "slow down"; }}
        location / {{ {JWT} comanda_require_scope a; proxy_pass {upstream.url}; }}
        location = /rated {{ comanda_limit zone=z key=$arg_k rate=1r/m; proxy_pass {upstream.url}; }}
        """, http="comanda_problems on; comanda_limit_zone z keys=64;")
    refused = get(nginx)
    assert (refused.status_code, refused.text) == (401, "log in first")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    foreign = get(nginx, bearer=token(scope="b"))
    assert (foreign.status_code, foreign.text) == (418, "a teapot")
    assert get(nginx, "/rated?k=1").status_code == 200
    rated = get(nginx, "/rated?k=1")
    assert (rated.status_code, rated.text) == (429, "slow down")
    assert int(rated.headers["Retry-After"]) >= 1 and rated.headers["RateLimit"].startswith('"z"')


def test_an_error_page_that_is_missing_is_told_as_nginx_tells_it(edge):
    """The last error counts, as with a module of nginx's own."""
    nginx = edge(f"error_page 401 /nowhere; location / {{ {JWT} comanda_metrics; }}"
                 "location = /nowhere { comanda_jwt off; root /nonexistent; }")
    assert get(nginx).status_code == 404


def raw_fields(nginx, path, name):
    """The values of each field of this name: requests would fold them into one."""
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers.get_all(name)


@pytest.mark.parametrize("guard", [JWT, "auth_request /in;"])
def test_a_challenge_stands_once_where_the_error_page_is_guarded_too(edge, upstream, guard):  # noqa: F811
    nginx = edge(f"""
        location / {{ error_page 401 /login; {guard} proxy_pass {upstream.url}; }}
        location = /login {{ {JWT} proxy_pass {upstream.url}; }}
        location = /in {{ {JWT} proxy_pass {upstream.url}; }}""")
    assert raw_fields(nginx, "/", "WWW-Authenticate") == (401, ['Bearer realm="shop"'])


@pytest.mark.parametrize("sign", ["", "= ", "=401 "])
def test_a_challenge_stands_on_a_page_of_a_server_behind(edge, upstream, sign):  # noqa: F811
    nginx = edge(f"""
        location / {{ error_page 401 {sign}@login; {JWT} proxy_pass {upstream.url}; }}
        location @login {{ proxy_pass {upstream.url}; }}""")
    status, fields = raw_fields(nginx, "/", "WWW-Authenticate")
    assert (status, fields) == (200 if sign == "= " else 401, ['Bearer realm="shop"'])


def test_whom_the_page_lets_in_by_another_key_is_not_challenged(edge, upstream):  # noqa: F811
    nginx = edge(f"""
        location / {{ error_page 401 = @second; comanda_jwt key_file={{folder}}/users;
                      proxy_pass {upstream.url}; }}
        location @second {{ {JWT} proxy_pass {upstream.url}; }}""")
    answer = get(nginx, bearer=token())
    assert (answer.status_code, answer.headers.get("WWW-Authenticate")) == (200, None)


def test_retry_after_stands_once_on_a_page_of_a_server_behind(edge, upstream):  # noqa: F811
    upstream.headers["Retry-After"] = "7"
    nginx = edge(f"""
        location / {{ error_page 429 /slow; comanda_limit zone=z key=$arg_k rate=1r/m;
                      proxy_pass {upstream.url}; }}
        location = /slow {{ proxy_pass {upstream.url}; }}""", http="comanda_limit_zone z keys=64;")
    assert raw_fields(nginx, "/?k=1", "Retry-After") == (200, ["7"])
    assert raw_fields(nginx, "/?k=1", "Retry-After") == (429, ["60"])


# ---- satisfy -------------------------------------------------------------------------------------

SATISFY = """
    location / {{
        satisfy {satisfy};
        {others}
        comanda_jwt key_file={{folder}}/key; comanda_require_scope a;
        add_header X-Subject "[$comanda_subject]" always;
        comanda_limit zone=z key=$arg_k rate=1r/m burst=2 phase=access;
        proxy_pass {upstream};
    }}"""


def satisfied(edge, upstream, satisfy, others):  # noqa: F811
    return edge(SATISFY.format(satisfy=satisfy, others=others, upstream=upstream.url),
                http="comanda_limit_zone z keys=64;")


def test_satisfy_any_lets_in_whom_one_of_them_lets_in(edge, upstream):  # noqa: F811
    """Red before: a token was required beside the others."""
    nginx = satisfied(edge, upstream, "any",
                      'deny all; auth_basic staff; auth_basic_user_file {folder}/users;')
    good = get(nginx, bearer=token("ana", "a"))
    assert (good.status_code, good.headers["X-Subject"]) == (200, "[ana]")
    staff = get(nginx, headers=basic())
    assert (staff.status_code, staff.headers["X-Subject"]) == (200, "[]")
    assert "WWW-Authenticate" not in staff.headers
    nobody = get(nginx)
    assert nobody.status_code == 401
    assert get(nginx, headers=basic(password="wrong")).status_code == 401


def test_satisfy_any_with_an_allowed_address_needs_no_token(edge, upstream):  # noqa: F811
    nginx = satisfied(edge, upstream, "any", "allow 127.0.0.1; deny all;")
    let_in = get(nginx)
    assert (let_in.status_code, "WWW-Authenticate" in let_in.headers) == (200, False)
    assert get(nginx, bearer=token(scope="b")).status_code == 200


def test_satisfy_all_wants_all(edge, upstream):  # noqa: F811
    nginx = satisfied(edge, upstream, "all", "deny all;")
    assert get(nginx).status_code == 401
    assert get(nginx, bearer=token("ana", "a")).status_code == 403


def test_limits_behind_access_run_whoever_satisfied_it(edge, upstream):  # noqa: F811
    nginx = satisfied(edge, upstream, "any", "allow 127.0.0.1; deny all;")
    assert [get(nginx, "/?k=x").status_code for _ in range(3)] == [200, 200, 429]


def test_a_reader_of_ones_own_that_is_let_in_without_a_token_is_401(make_nginx):
    """As docs/directives.md says of satisfy; the store is never asked."""
    nginx = make_nginx("""location / { satisfy any; allow all; comanda_jwt key_file={folder}/key;
                                       comanda_query counters key=$arg_id owner=own scope=a; }""",
                       http='comanda_postgres main "host=127.0.0.1 port=1 dbname=none";', seam=True,
                       files={"key": KEY})
    nginx.start()
    answer = get(nginx)
    assert (answer.status_code, slug(answer)) == (401, "unauthorized")


# ---- pages that somebody wrote -------------------------------------------------------------------

WRITTEN = {
    "/text": (404, "nothing of the kind"),
    "/page": (404, "<p>mine</p>"),
    "/returned": (403, "<p>written</p>"),
    "/named": (404, "named"),
    "/proxied": (404, "ok\n"),
}


def test_a_page_that_the_operator_wrote_is_left_alone(edge, upstream):  # noqa: F811
    """Red before: /returned and /named became problems."""
    nginx = edge(f"""
        comanda_problems on;
        location = /text {{ return 404 "nothing of the kind"; }}
        location = /page {{ error_page 404 /page.html; return 404; }}
        location = /page.html {{ root {{folder}}; }}
        location = /returned {{ error_page 403 /written; deny all; }}
        location = /written {{ default_type text/html; return 200 "<p>written</p>"; }}
        location = /named {{ error_page 404 @named; return 404; }}
        location @named {{ return 404 "named"; }}
        location = /proxied {{ error_page 404 @proxied; return 404; }}
        location @proxied {{ proxy_pass {upstream.url}; }}
        """, http="")
    for path, (status, text) in WRITTEN.items():
        answer = get(nginx, path)
        assert (answer.status_code, answer.text) == (status, text), path
        head = requests.head(nginx.url + path, timeout=30)
        assert head.status_code == status and head.headers["Content-Type"] != PROBLEM, path


def test_what_nginx_itself_makes_is_a_problem_also_after_an_error_page(edge):
    nginx = edge("comanda_problems on; error_page 404 /again; error_page 405 /empty;"
                 "location / { return 404; } location = /again { return 410; }"
                 "location = /empty { return 405; } location = /put { return 405; }")
    for method in ("GET", "HEAD"):
        answer = requests.request(method, nginx.url + "/x", timeout=30)
        assert (answer.status_code, answer.headers["Content-Type"]) == (410, PROBLEM)
        assert int(answer.headers["Content-Length"]) > 100
    assert slug(get(nginx, "/x")) == "bad-request"
    assert get(nginx, "/x").json()["title"] == "Gone"
    refused = get(nginx, "/put")
    assert (refused.status_code, slug(refused)) == (405, "method-not-allowed")


def test_what_nginx_makes_where_an_upstream_has_led_to_is_a_problem(edge):
    """By X-Accel-Redirect, or by an error that was intercepted. Red before: HTML, for a refusal too."""
    nginx = edge("""
        comanda_problems on;
        location /behind { add_header X-Accel-Redirect $arg_to; return 200; }
        location /away { comanda_problems off; return 404; }
        location /sent { proxy_pass http://127.0.0.1:{port}/behind; }
        location /missing { }
        location /closed { deny all; }
        location /limited { comanda_problems off; comanda_limit zone=z key=$server_port rate=1r/m;
                            root {folder}; try_files /page.html =404; }
        location /intercepted { proxy_intercept_errors on; error_page 404 /missing;
                                proxy_pass http://127.0.0.1:{port}/away; }
        """, http="comanda_limit_zone z keys=64;")
    assert get(nginx, "/sent?to=/limited").text == "<p>mine</p>"
    for path, status, name in (("/sent?to=/missing", 404, "not-found"), ("/sent?to=/closed", 403, "forbidden"),
                               ("/sent?to=/limited", 429, "rate-limited"),
                               ("/intercepted", 404, "not-found")):
        answer = get(nginx, path)
        assert (answer.status_code, slug(answer)) == (status, name), path


def test_a_page_of_a_server_behind_is_left_alone_from_the_cache_too(edge):
    nginx = edge("""
        comanda_problems on;
        location /away { comanda_problems off; return 404; }
        location / { error_page 404 @behind; return 404; }
        location @behind { proxy_cache c; proxy_cache_valid 404 1m; add_header X-Cache $upstream_cache_status always;
                           proxy_pass http://127.0.0.1:{port}; rewrite ^ /away break; }
        """, http="proxy_cache_path {folder}/cache keys_zone=c:1m;")
    seen = []
    for _ in range(2):
        answer = get(nginx, "/page")
        assert answer.status_code == 404 and answer.headers["Content-Type"] == "text/html"
        seen.append(answer.headers["X-Cache"])
    assert seen[1] == "HIT"


@pytest.mark.parametrize("headers, status, wanted, title", [
    ({"Range": "bytes=100-200"}, 416, "range-not-satisfiable", "Range Not Satisfiable"),
    ({"If-Match": '"other"'}, 412, "precondition-failed", "Precondition Failed"),
])
@pytest.mark.parametrize("cache", ["", "proxy_cache c; proxy_cache_valid 1m;"])
def test_412_and_416_of_a_proxied_answer_are_problems(edge, headers, status, wanted, title, cache):
    """Red before: HTML, and a title of "Error"."""
    nginx = edge(f"""
        comanda_problems on; comanda_correlation on;
        location / {{ proxy_pass http://127.0.0.1:{{port}}/file/; proxy_force_ranges on; {cache} }}
        location /file/ {{ add_header ETag '"one"'; alias {{folder}}/; }}
        """, http="proxy_cache_path {folder}/cache keys_zone=c:1m;")
    assert get(nginx, "/page.html").text == "<p>mine</p>"
    answer = get(nginx, "/page.html", headers=headers)
    assert (answer.status_code, slug(answer)) == (status, wanted)
    assert answer.json()["title"] == title


# ---- headers, once -------------------------------------------------------------------------------

def raw(nginx, request):
    """The header lines of the answer, as they came; the body is not waited for."""
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=30) as client:
        client.sendall(request.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (part := client.recv(65536)):
            answer += part
    return answer.decode().partition("\r\n\r\n")[0].splitlines()


def times(lines, name):
    return sum(line.lower().startswith(name.lower() + ":") for line in lines)


@pytest.mark.parametrize("path, more", [
    ("/page.html", ""), ("/page.html", "Range: bytes=100-200\r\n"), ("/proxy/", ""), ("/none", ""),
    ("/cached/", ""), ("/cached/", "")])
def test_correlation_headers_stand_once_and_are_ours(edge, path, more):
    """Red before: twice on a 416, and beside those of a server behind."""
    nginx = edge("""
        comanda_correlation on;
        location / { root {folder}; }
        location /proxy/ { proxy_pass http://127.0.0.1:{port}/behind/; }
        location /cached/ { proxy_cache c; proxy_cache_valid 1m; proxy_pass http://127.0.0.1:{port}/behind/; }
        location /behind/ { comanda_correlation off; add_header traceparent theirs;
                            add_header comanda-correlation-id theirs; return 200 "x"; }
        """, http="proxy_cache_path {folder}/cache keys_zone=c:1m;")
    for id in ("first", "second"):
        lines = raw(nginx, f"GET {path} HTTP/1.1\r\nHost: x\r\nComanda-Correlation-Id: {id}\r\n"
                           f"Connection: close\r\n{more}\r\n")
        assert times(lines, "Comanda-Correlation-Id") == times(lines, "traceparent") == 1, lines
        assert f"Comanda-Correlation-Id: {id}" in lines


def test_a_refusal_by_the_head_alone_sends_no_100_first(make_nginx):
    """RFC 9110, 10.1.1. Red before: 100 Continue for each of these."""
    nginx = make_nginx("""
        comanda_jwt key_file={folder}/key;
        location /add { comanda_command counting.add_counter target=$arg_id scope=a; }
        location /read { comanda_query counters key=$arg_id owner=own scope=a; }
        """, http='comanda_postgres main "host=127.0.0.1 port=1 dbname=none";', seam=True,
                       files={"key": KEY})
    nginx.start()
    bearer = f"Authorization: Bearer {token(scope='a')}\r\n"
    foreign = f"Authorization: Bearer {token(scope='b')}\r\n"
    json_, key = "Content-Type: application/json\r\n", "Idempotency-Key: k\r\n"
    id_ = "?id=0189d3f4-0000-7000-8000-000000000000"
    for path, headers, status in [
            ("/add" + id_, json_ + key, 401), ("/add" + id_, foreign + json_ + key, 403),
            ("/add" + id_, bearer + json_, 400), ("/add", bearer + json_ + key, 404),
            ("/add" + id_, bearer + key, 415), ("/read", bearer, 405)]:
        lines = raw(nginx, f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                           f"Expect: 100-continue\r\nContent-Length: 2\r\n{headers}\r\n")
        assert lines[0].startswith(f"HTTP/1.1 {status} "), (path, headers, lines[0])


def test_a_body_that_is_too_large_is_refused_by_its_length_and_nothing_is_spooled(make_nginx):
    """Red before: 20 MB were written to a file, then refused."""
    nginx = make_nginx("""
        comanda_problems on; comanda_jwt key_file={folder}/key;
        client_max_body_size 0; client_body_buffer_size 1k; client_body_in_file_only on;
        location /add { comanda_command counting.add_counter target=$arg_id scope=a; }
        """, http='comanda_postgres main "host=127.0.0.1 port=1 dbname=none";', seam=True,
                       files={"key": KEY})
    nginx.start()
    lines = raw(nginx, "POST /add HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       "Content-Length: 20000000\r\n\r\n")
    assert lines[0].startswith("HTTP/1.1 413 ")

    def chunks():
        for _ in range(20):
            yield b"x" * 10000
    sent = requests.post(nginx.url + "/add?id=0189d3f4-0000-7000-8000-000000000000", data=chunks(),
                         headers={"Authorization": f"Bearer {token(scope='a')}",
                                  "Idempotency-Key": "k", "Content-Type": "application/json"},
                         timeout=30)
    assert (sent.status_code, slug(sent)) == (413, "content-too-large")
    assert list((nginx.folder / "body").iterdir()) == []
