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
            self.send_header(name, value)
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


def test_any_origin_without_credentials(edge):
    answer = preflight(edge, "/any", "https://whoever.example", "PUT")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, PUT"
    assert answer.headers["Access-Control-Allow-Headers"] == "X-One"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_an_options_that_is_no_preflight_goes_on(edge):
    assert ask(edge, "/any", "OPTIONS").status_code == 200
    assert ask(edge, "/add", "OPTIONS", Authorization=f"Bearer {token(scope='a')}").status_code == 405


@pytest.mark.parametrize("words, said", [
    ("origins=* credentials", "do not go together"), ("max_age=1h", "needs origins="),
    ("origins=shop.example", "as a browser writes them"),
    ("origins=https://Shop.example", "as a browser writes them"),
    ("origins=https://shop.example/", "as a browser writes them"),
    ("origins=https://a.example,,https://b.example", "as a browser writes them"),
    ("origins=* max_age=2d", "must be from"), ("origins=* headers=a@b", "names separated by commas"),
    ("origins=* origins=*", "stands twice"), ("origins=* colour=red", "no parameter"),
    ("origins=*; comanda_cors off", "stands twice at this level"),
])
def test_a_wrong_setting_is_refused_with_its_line(make_nginx, words, said):
    code, text = make_nginx(f"location / {{ comanda_cors {words}; }}").test()
    assert code == 1
    assert said in text and "nginx.conf:" in text
