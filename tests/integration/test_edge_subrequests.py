# SPDX-License-Identifier: Apache-2.0
"""Tokens and scopes count in subrequests too, where nginx runs no access phase."""
import pytest

from daemon import until
from test_edge_guard import KEY, get, token, upstream  # noqa: F401

OTHER = "o" * 40
JWT = "comanda_jwt key_file={folder}/key;"


@pytest.fixture
def edge(start_nginx, upstream):  # noqa: F811
    def start(server, http=""):
        nginx = start_nginx(server, http=http, files={
            "key": KEY, "other": OTHER,
            "page.html": '<!--#include virtual="/inner" -->'})
        upstream.seen.clear()  # what asked whether it is up
        return nginx
    return start


def seen(upstream, path):  # noqa: F811
    return [dict(headers) for headers in upstream.seen if headers.get("X-Path") == path]


def test_an_auth_request_into_a_guarded_location_asks_for_the_token(edge, upstream):  # noqa: F811
    """Red before: everyone came through."""
    nginx = edge(f"""
        location / {{ auth_request /check; proxy_pass {upstream.url}; }}
        location = /check {{ internal; {JWT} comanda_require_scope a; proxy_pass {upstream.url}; }}
        """)
    refused = get(nginx)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert get(nginx, bearer=token(scope="b")).status_code == 403
    assert upstream.seen == []
    assert get(nginx, bearer=token(scope="a")).status_code == 200
    assert len(upstream.seen) == 2


def test_an_include_of_a_guarded_location_asks_for_the_token(edge, upstream):  # noqa: F811
    nginx = edge(f"""
        location / {{ ssi on; root {{folder}}; }}
        location = /inner {{ {JWT} proxy_pass {upstream.url}; }}
        """)
    assert "401 Authorization Required" in get(nginx, "/page.html").text
    assert upstream.seen == []
    assert get(nginx, "/page.html", bearer=token()).text == "ok\n"


def test_a_mirror_into_a_guarded_location_asks_for_the_token(edge, upstream):  # noqa: F811
    nginx = edge(f"""
        location / {{ mirror /copy; proxy_set_header X-Path outer; proxy_pass {upstream.url}; }}
        location = /copy {{ internal; {JWT} proxy_set_header X-Path copy; proxy_pass {upstream.url}; }}
        """)
    assert get(nginx).status_code == 200
    assert get(nginx, bearer=token()).status_code == 200
    until(lambda: seen(upstream, "copy"), "the mirrored one with a token")
    assert (len(seen(upstream, "copy")), len(seen(upstream, "outer"))) == (1, 2)


def test_whom_a_subrequest_has_never_becomes_the_outer_ones(edge, upstream):  # noqa: F811
    nginx = edge(f"""
        location / {{ auth_request /check; proxy_set_header X-Path outer;
                      proxy_set_header X-Subject "[$comanda_subject]"; proxy_pass {upstream.url}; }}
        location = /check {{ internal; {JWT} proxy_set_header X-Path check;
                             proxy_set_header X-Subject "[$comanda_subject]"; proxy_pass {upstream.url}; }}
        location /reads {{ auth_request /check; comanda_require_scope reports:read; {JWT}
                           proxy_pass {upstream.url}; }}
        """)
    assert get(nginx, bearer=token("ana")).status_code == 200
    assert seen(upstream, "check")[0]["X-Subject"] == "[ana]"
    assert seen(upstream, "outer")[0]["X-Subject"] == "[]"
    assert get(nginx, "/reads", bearer=token("ana")).status_code == 200


def test_the_outer_ones_counts_inside_only_under_the_same_keys(edge, upstream):  # noqa: F811
    nginx = edge(f"""
        {JWT}
        location /same {{ auth_request /check; proxy_pass {upstream.url}; }}
        location /foreign {{ auth_request /others; proxy_pass {upstream.url}; }}
        location = /check {{ internal; comanda_require_scope a; proxy_pass {upstream.url}; }}
        location = /others {{ internal; comanda_jwt key_file={{folder}}/other; proxy_pass {upstream.url}; }}
        """)
    assert get(nginx, "/same", bearer=token(scope="a")).status_code == 200
    assert get(nginx, "/same", bearer=token(scope="b")).status_code == 403
    assert get(nginx, "/foreign", bearer=token(scope="a")).status_code == 401


def test_limits_count_the_clients_request_only(edge, upstream):  # noqa: F811
    nginx = edge(f"""
        comanda_limit zone=z key=$arg_k rate=1r/m burst=2;
        location / {{ auth_request /check; proxy_pass {upstream.url}; }}
        location = /check {{ internal; proxy_pass {upstream.url}; }}
        """, http="comanda_limit_zone z keys=64;")
    assert [get(nginx, "/?k=x").status_code for _ in range(3)] == [200, 200, 429]
