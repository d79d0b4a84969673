# SPDX-License-Identifier: Apache-2.0
"""What serves in each kind of location that nginx knows, and which locations nobody else may serve."""
import subprocess
import time

import jwt
import pytest

from daemon import free_port, until, uuid7
from edge import Edge, checked, order_body

PLACE = "comanda_command ordering.place_order scope=orders:write status=201 location=/v1/orders/;"
LIST = "comanda_list orders owner=own scope=orders:read;"
ONE = "comanda_query orders key=$id owner=own scope=orders:read;"
LOCATIONS = f"""
    location = /readyz {{ comanda_jwt off; comanda_health ready; }}
    location = /healthz {{ comanda_jwt off; if ($http_x) {{ set $a 1; }} comanda_health live; }}
    location = /metrics {{ comanda_jwt off; if ($http_x) {{ add_header X-If yes; }} comanda_metrics; }}
    location = /v1/orders {{ {PLACE} {LIST} }}
    location = /if {{
        {PLACE} {LIST}
        if ($http_x) {{ add_header X-If yes; }}
        if ($http_y) {{ add_header X-Second yes; }}
        if ($http_refused) {{ return 403; }}
    }}
    location ~ ^/v1/orders/(?<id>[^/]+)$ {{ {ONE} if ($http_x) {{ add_header X-If yes; }} }}
    location = /cors {{
        {PLACE}
        if ($request_method = OPTIONS) {{
            add_header Access-Control-Allow-Origin *;
            add_header Access-Control-Allow-Methods "POST, OPTIONS";
            add_header Content-Length 0;
            return 204;
        }}
    }}
    location = /except/closed {{ {PLACE} {LIST} limit_except GET {{ deny all; }} }}
    location = /except/open {{ {PLACE} {LIST} limit_except GET {{ allow 127.0.0.1; deny all; }} }}
    location = /except/post {{ {PLACE} {LIST} limit_except POST {{ deny all; }} }}
    location /outer/ {{
        {LIST}
        location = /outer/inner {{ {PLACE} }}
        location /outer/empty/ {{ return 404; }}
    }}
    location = /try {{ try_files /none @place; }}
    location = /large {{ client_max_body_size 20m; try_files /none @place; }}
    location @place {{ {PLACE} {LIST} }}
    location = /rewritten {{ rewrite ^ /v1/orders last; }}
    location = /error {{ error_page 404 = @place; return 404; }}
    location = /status {{ error_page 404 @place; return 404; }}
    location / {{ comanda_jwt off; return 404; }}
"""


@pytest.fixture(scope="module", params=[1, 4], ids=["one worker", "four workers, reloaded"])
def edge(shop, request):
    made = Edge(shop, locations=LOCATIONS, workers=request.param)
    if request.param > 1:
        old = set(made.workers())
        made.nginx("-s", "reload")
        until(lambda: (now := set(made.workers())) and not old & now, "the old workers are gone")
        made.wait_ready()
    yield from checked(made)


def split(path):
    """"/if +X +Y": the path, and a header each."""
    path, *names = path.split(" +")
    return path, {name: "1" for name in names}


def place(edge, path, **more):
    path, headers = split(path)
    return edge.call("POST", path, order_body(), headers={"Idempotency-Key": str(uuid7()), **headers},
                     **more)


def get(edge, path, **more):
    path, headers = split(path)
    return edge.get(path, headers=headers, **more)


@pytest.mark.parametrize("path", ["/if", "/if +X", "/if +X +Y", "/except/open", "/except/post",
                                  "/outer/inner", "/try", "/rewritten", "/error", "/cors"])
def test_a_command_is_served_wherever_it_stands(edge, path):
    """Red before: /if +X ended the worker, /except/open was 404."""
    placed = place(edge, path)
    assert placed.status == 201, placed.text
    assert get(edge, "/v1/orders/" + placed.json["id"] + " +X").json["id"] == placed.json["id"]
    assert place(edge, path, token=None).status == 401
    assert place(edge, path, token=edge.shop.token(scope="other")).status == 403


@pytest.mark.parametrize("path", ["/if", "/if +X", "/if +X +Y", "/except/closed", "/except/open",
                                  "/outer/", "/try", "/rewritten", "/error"])
def test_a_reader_is_served_wherever_it_stands(edge, path):
    listed = get(edge, path)
    assert listed.status == 200 and "items" in listed.json, listed.text
    assert get(edge, path, token=None).status == 401


def test_what_an_if_adds_is_added(edge):
    assert get(edge, "/if +X").headers["x-if"] == "yes"
    assert "x-if" not in edge.get("/if").headers
    assert get(edge, "/if +Refused").status == 403
    assert get(edge, "/metrics +X", token=None).headers["x-if"] == "yes"
    assert get(edge, "/healthz +X", token=None).status == 200


def test_limit_except_shuts_out_what_it_does_not_name(edge):
    assert place(edge, "/except/closed").status == 403
    assert edge.get("/except/post").status == 403


def test_an_error_page_keeps_its_status(edge):
    assert place(edge, "/status").status == 404


def test_the_usual_cors_snippet_answers_a_preflight(edge):
    answer = edge.call("OPTIONS", "/cors", token=None)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")


@pytest.mark.parametrize("path", ["/try", "/large"])
def test_a_body_that_is_too_large_is_refused_unread_in_a_named_location(edge, path):
    """Core looks at the length where it looks for a location by its URI, and not there. Red before:
    the body was spooled to a file, and then refused."""
    answer = edge.call("POST", path, "x" * 300_000, headers={"Idempotency-Key": str(uuid7())})
    assert (answer.status, answer.slug) == (413, "content-too-large")
    assert "temporary file" not in edge.log()


# ---- Servers, levels, reloads and HTTP/2 ---------------------------------------------------------

STORE = 'comanda_postgres main "host=127.0.0.1 port=1 dbname=none";'
OUTSIDE = "https://shop.example"
LEVELS = """
    comanda_problems on;
    comanda_correlation on;
    comanda_jwt key_file={folder}/first;
    comanda_cors origins=https://shop.example;
    comanda_limit_zone z keys=64;
    comanda_limit zone=z key=$arg_caller rate=1r/m burst=1;
    server {
        listen 127.0.0.1:{port}; LISTEN
        server_name second;
        comanda_jwt key_file={folder}/second;
        comanda_cors off;
        location = /add { comanda_command counting.add_counter target=$arg_id scope=a; }
        location / { comanda_jwt off; comanda_limit off; return 404; }
    }
    server {
        listen 127.0.0.1:{port}; LISTEN
        server_name third;
        comanda_problems off;
        comanda_correlation off;
        location = /add { comanda_command counting.add_counter target=$arg_id scope=b; }
        location = /none { comanda_jwt off; }
    }
"""
FIRST = """
    LISTEN
    server_name first;
    location = /add {
        comanda_command counting.add_counter target=$arg_id scope=a;
        if ($http_x) { add_header X-If yes; }
    }
    location = /none { comanda_jwt off; }
    location / { comanda_jwt off; comanda_limit off; return 404; }
"""


def signed(key, scope="a"):
    return jwt.encode({"sub": "ana", "scope": scope, "exp": time.time() + 600}, key, algorithm="HS256")


def curl(way, host, path, *more, token=None):
    """(status, {field: value})."""
    url, version = way
    words = [version, "-H", f"Host: {host}", "-H", f"Origin: {OUTSIDE}", *more]
    if token:
        words += ["-H", f"Authorization: Bearer {token}"]
    said = subprocess.run(["curl", "-s", "-i", "-m", "30", *words, url + path],
                          capture_output=True, text=True, check=True).stdout
    head = said.split("\n\n", 1)[0].splitlines()
    fields = dict(line.lower().split(": ", 1) for line in head[1:])
    return int(head[0].split()[1]), fields


KEYS = {"first": "1" * 32, "second": "2" * 32}
NOT_JSON = ("-X", "POST", "-H", "Content-Type: text/plain")  # a 415 has passed every guard


def check_levels(way):
    statuses = {(host, key): curl(way, host, "/add", *NOT_JSON, token=signed(KEYS[key]))[0]
                for host in ("first", "second", "third") for key in KEYS}
    assert statuses == {("first", "first"): 415, ("first", "second"): 401,
                        ("second", "first"): 401, ("second", "second"): 415,
                        ("third", "first"): 403, ("third", "second"): 401}
    for host in ("first", "third"):
        assert curl(way, host, "/add")[1]["access-control-allow-origin"] == OUTSIDE
    assert "access-control-allow-origin" not in curl(way, "second", "/add")[1]
    first, third = (curl(way, host, "/none")[1] for host in ("first", "third"))
    assert first["content-type"] == "application/problem+json" and "traceparent" in first
    assert third["content-type"] == "text/html" and "traceparent" not in third
    taken = curl(way, "first", "/add", "-H", "X: 1", *NOT_JSON, token=signed(KEYS["first"]))
    assert taken[0] == 415


def ended(nginx, old):
    return lambda: not set(old) & set(nginx.workers())


@pytest.mark.parametrize("workers", [1, 4])
def test_what_stands_in_http_counts_in_each_server_until_it_says_otherwise(start_nginx, workers):
    """Before and after a reload, over HTTP/1.1 and HTTP/2."""
    port = free_port()
    http, server = (text.replace("LISTEN", f"listen 127.0.0.1:{port} http2;") for text in (LEVELS, FIRST))
    nginx = start_nginx(server, http=STORE + http, seam=True, files=KEYS, workers=workers)
    one, two = (nginx.url, "--http1.1"), (f"http://127.0.0.1:{port}", "--http2-prior-knowledge")
    check_levels(one)
    check_levels(two)
    assert curl(one, "first", "/add?caller=1")[0] == 401
    assert curl(two, "third", "/add?caller=1")[0] == 429  # one limit, in two servers
    assert curl(two, "second", "/?caller=1")[0] == 404
    old = nginx.workers()
    nginx.reload()
    until(ended(nginx, old), "the workers before the reload have ended")
    check_levels(two)
    check_levels(one)
    assert curl(one, "first", "/add?caller=1")[0] == 429
    assert "exited on signal" not in nginx.log.read_text()


# ---- A location serves one thing -----------------------------------------------------------------

COMMAND = "comanda_command counting.add_counter target=$arg_id scope=a;"
QUERY = "comanda_query counters key=$arg_id owner=own scope=a;"
OTHERS = ["proxy_pass http://127.0.0.1:1;", "stub_status;", "empty_gif;", "fastcgi_pass 127.0.0.1:1;"]
OURS = [COMMAND, QUERY, "comanda_list counters owner=own scope=a;", "comanda_health live;",
        "comanda_metrics;"]


def refused(make_nginx, location):
    code, said = make_nginx(f"location / {{ {location} }}", http=STORE, seam=True).test()
    return code, said


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("other", OTHERS)
def test_a_content_handler_that_another_directive_replaces_is_refused(make_nginx, ours, other):
    """In both orders. Red before: the later one won, and with it went the scope."""
    for location in (f"{ours} {other}", f"{other} {ours}"):
        code, said = refused(make_nginx, location)
        assert code == 1, location
        name = ours.split()[0].strip(";")
        assert name in said and "another directive" in said and "nginx.conf:" in said


@pytest.mark.parametrize("ours", [COMMAND, "comanda_metrics;"])
@pytest.mark.parametrize("block", ["if ($http_x) {", "limit_except GET {"])
def test_an_if_or_limit_except_with_a_handler_of_its_own_is_refused(make_nginx, ours, block):
    code, said = refused(make_nginx, f"{ours} {block} proxy_pass http://127.0.0.1:1; }}")
    assert code == 1
    assert "if or limit_except is served by another directive" in said and "nginx.conf:" in said


def test_a_metrics_page_and_a_reader_do_not_share_a_location(make_nginx):
    assert "stands twice" in refused(make_nginx, f"comanda_metrics; {QUERY}")[1]


def test_a_scope_that_no_token_can_hold_is_refused(make_nginx):
    code, said = refused(make_nginx, COMMAND.replace("scope=a", '"scope=a b"'))
    assert code == 1 and "takes one scope" in said
