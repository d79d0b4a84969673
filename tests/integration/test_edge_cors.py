# SPDX-License-Identifier: Apache-2.0
"""comanda_cors: pages of other origins, as the Fetch standard says."""
import http.server
import threading

import pytest
import requests

from test_edge_guard import KEY, token

SHOP, OTHER = "https://shop.example", "https://other.example"
STORE = 'comanda_postgres main "host=127.0.0.1 port=1 dbname=none"; comanda_limit_zone z keys=64;'
CORS = f"comanda_cors origins={SHOP},http://localhost:3000 max_age=1h credentials;"


class Behind(http.server.BaseHTTPRequestHandler):
    """A server with CORS fields of its own."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        for name, value in (("Access-Control-Allow-Origin", "*"), ("Vary", "Accept, Origin"),
                            ("Access-Control-Expose-Headers", "X"), ("Content-Length", "0")):
            self.send_header(name, "X-Origin" if self.path == "/other" and name == "Vary" else value)
        self.end_headers()

    do_OPTIONS = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def behind():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def edge(start_nginx, behind):
    return start_nginx(f"""
        comanda_problems on;
        {CORS}
        comanda_jwt key_file={{folder}}/key;
        location /add {{ comanda_command counting.add_counter target=$arg_id scope=a;
                         comanda_list counters owner=own scope=a; }}
        location /limited {{ comanda_jwt off; comanda_limit zone=z key=$server_port rate=1r/m burst=1;
                             proxy_pass {behind}; }}
        location /closed {{ comanda_jwt off; deny all; limit_except GET {{ deny all; }} }}
        location /behind {{ proxy_pass {behind}; }}
        location /any {{ comanda_jwt off; comanda_cors origins=* methods=GET,PUT headers=X-One;
                         proxy_pass {behind}; }}
        location /off {{ comanda_jwt off; comanda_cors off; proxy_pass {behind}; }}
        location /missing {{ comanda_jwt off; error_page 404 /page; return 404; }}
        location /page {{ comanda_jwt off; return 200 "mine"; }}
        location /other {{ comanda_jwt off; comanda_cors origins={SHOP} expose=X-Total,X-Page;
                           proxy_pass {behind}; }}
        location /snippet {{
            comanda_jwt off;
            add_header Access-Control-Allow-Origin * always;
            if ($request_method = OPTIONS) {{
                add_header Access-Control-Allow-Origin *;
                add_header Access-Control-Allow-Headers X-Theirs;
                return 204;
            }}
            proxy_pass {behind};
        }}
        location /text {{ comanda_jwt off; return 200 "text"; }}
        """, http=STORE, seam=True, files={"key": KEY})


def ask(edge, path, method="GET", origin=SHOP, **headers):
    if origin:
        headers["Origin"] = origin
    return requests.request(method, edge.url + path, headers=headers, timeout=30)


def preflight(edge, path, origin=SHOP, method="POST"):
    return ask(edge, path, "OPTIONS", origin, **{"Access-Control-Request-Method": method,
                                                 "Access-Control-Request-Headers": "authorization"})


def test_a_preflight_is_answered_before_token_limit_and_access(edge):
    for path, methods in (("/add?id=1", "GET, HEAD, POST"), ("/limited", "GET, HEAD, POST"),
                          ("/limited", "GET, HEAD, POST"), ("/closed", "GET, HEAD, POST"),
                          ("/behind", "GET, HEAD, POST")):
        answer = preflight(edge, path)
        assert (answer.status_code, answer.text) == (204, ""), path
        fields = answer.headers
        assert fields["Access-Control-Allow-Origin"] == SHOP
        assert fields["Access-Control-Allow-Credentials"] == "true"
        assert fields["Access-Control-Allow-Methods"] == methods
        assert "Authorization" in fields["Access-Control-Allow-Headers"]
        assert "Idempotency-Key" in fields["Access-Control-Allow-Headers"]
        assert fields["Access-Control-Max-Age"] == "3600"
        assert fields["Vary"] == "Origin"


def test_another_origin_gets_no_field_and_the_answer_still_varies(edge):
    for answer in (preflight(edge, "/add", OTHER), ask(edge, "/add", origin=OTHER),
                   ask(edge, "/add", origin="null"), ask(edge, "/add", origin=None)):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert answer.headers["Vary"] == "Origin"


def test_the_fields_stand_on_every_answer_refusals_too(edge):
    limited = [ask(edge, "/limited") for _ in range(2)]
    answers = {401: ask(edge, "/add"), 403: ask(edge, "/closed"), 429: limited[1],
               405: ask(edge, "/add", "DELETE", Authorization=f"Bearer {token(scope='a')}"),
               200: limited[0], 404: ask(edge, "/missing")}
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP, status
        exposed = answer.headers["Access-Control-Expose-Headers"]
        for name in ("ETag", "Location", "Comanda-Position", "Retry-After"):
            assert name in exposed
    assert answers[404].text == "mine"


def test_fields_of_a_server_behind_are_replaced(edge):
    answer = ask(edge, "/behind", Authorization=f"Bearer {token()}")
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert "X" not in answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert answer.headers["Vary"] == "Accept, Origin"
    assert ask(edge, "/off").headers["Access-Control-Allow-Origin"] == "*"


def allowed_origins(answer):
    return answer.raw.headers.getlist("Access-Control-Allow-Origin")


def test_fields_of_an_add_header_are_replaced(edge):
    """A browser refuses an answer with two. Red before: "*" stood beside ours."""
    assert allowed_origins(ask(edge, "/snippet")) == [SHOP]
    answer = preflight(edge, "/snippet")
    assert (answer.status_code, allowed_origins(answer)) == (204, [SHOP])
    assert "X-Theirs" not in answer.headers["Access-Control-Allow-Headers"]


def test_a_preflight_that_a_return_answers_is_one(edge):
    """Red before: no methods and no headers, so that a browser went no further."""
    answer = preflight(edge, "/text")
    assert (answer.status_code, allowed_origins(answer)) == (200, [SHOP])
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST"


def test_a_location_can_expose_more(edge):
    exposed = ask(edge, "/other").headers["Access-Control-Expose-Headers"].split(", ")
    assert exposed[0] == "ETag" and exposed[-2:] == ["X-Total", "X-Page"]


def test_a_field_that_only_resembles_origin_does_not_vary_by_it(edge):
    assert ask(edge, "/other").headers["Vary"] == "X-Origin, Origin"


def test_an_error_page_elsewhere_keeps_the_fields(start_nginx):
    """Also where a `return` refuses, before our phases. Red before: no field."""
    edge = start_nginx(f"""
        location /gone {{ {CORS} error_page 404 410 /page; return 410; }}
        location /file {{ {CORS} error_page 404 410 /page; }}
        location /closed {{ {CORS} error_page 404 /off; return 404; }}
        location /page {{ return 200 "mine"; }}
        location /off {{ comanda_cors off; return 200 "mine"; }}
        """)
    for path, status, origins in (("/gone", 410, [SHOP]), ("/file", 404, [SHOP]), ("/closed", 404, []),
                                  ("/page", 200, [])):
        answer = ask(edge, path)
        assert (answer.status_code, allowed_origins(answer)) == (status, origins), path


@pytest.mark.parametrize("head", [{"If-None-Match": None}, {"Range": "bytes=50-"}, {"If-Match": '"x"'}])
def test_the_fields_stand_once_on_what_a_filter_makes(start_nginx, head):
    edge = start_nginx(f"location /file {{ {CORS} root {{folder}}; }}", files={"file": "0123456789"})
    tag = ask(edge, "/file").headers["ETag"]
    answer = ask(edge, "/file", **{name: value or tag for name, value in head.items()})
    assert answer.status_code in (304, 412, 416)
    assert allowed_origins(answer) == [SHOP]
    assert answer.raw.headers.getlist("Vary") == ["Origin"]


def test_any_origin_without_credentials(edge):
    answer = preflight(edge, "/any", "https://whoever.example", "PUT")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, PUT"
    assert answer.headers["Access-Control-Allow-Headers"] == "X-One"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_an_options_that_is_no_preflight_goes_on(edge):
    assert ask(edge, "/any", "OPTIONS").status_code == 200
    assert ask(edge, "/add", "OPTIONS", Authorization=f"Bearer {token(scope='a')}").status_code == 405


@pytest.mark.parametrize("origin", ["http://[::1]:3000", "http://127.0.0.1:8080", "https://a-b.example",
                                    "http://localhost:443", "chrome-extension://abc"])
def test_an_origin_as_a_browser_writes_it_is_taken(make_nginx, origin):
    code, text = make_nginx(f"location / {{ comanda_cors origins={origin}; }}").test()
    assert code == 0, text


@pytest.mark.parametrize("words, said", [
    ("origins=* credentials", "do not go together"), ("max_age=1h", "needs origins="),
    ("origins=shop.example", "as a browser writes them"),
    ("origins=https://Shop.example", "as a browser writes them"),
    ("origins=https://shop.example/", "as a browser writes them"),
    ("origins=https://a.example,,https://b.example", "as a browser writes them"),
    ("origins=https://a.example,", "as a browser writes them"),
    ("origins=https://a.example:443", "as a browser writes them"),
    ("origins=http://a.example:80", "as a browser writes them"),
    ("origins=http://a.example:99999", "as a browser writes them"),
    ("origins=http://a.example:port", "as a browser writes them"),
    ("origins=http://a.example:", "as a browser writes them"),
    ("origins=http://::1", "as a browser writes them"), ("origins=http://[]", "as a browser writes them"),
    ("origins=* methods=patch", "in capitals"), ("origins=* methods=GET,,PUT", "in capitals"),
    ("origins=* headers=X-A,", "names separated by commas"),
    ("origins=* expose=X:A", "expose= takes names separated by commas"),
    ("origins=* max_age=2d", "must be from"), ("origins=* headers=a@b", "names separated by commas"),
    ("origins=* origins=*", "stands twice"), ("origins=* colour=red", "no parameter"),
    ("origins=*; comanda_cors off", "stands twice at this level"),
])
def test_a_wrong_setting_is_refused_with_its_line(make_nginx, words, said):
    code, text = make_nginx(f"location / {{ comanda_cors {words}; }}").test()
    assert code == 1
    assert said in text and "nginx.conf:" in text
