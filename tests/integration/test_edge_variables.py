# SPDX-License-Identifier: Apache-2.0
"""Our variables in other modules' directives, asked for early and late."""
import pytest

from daemon import until
from test_edge_guard import KEY, get, token, upstream  # noqa: F401

HTTP = """
    comanda_correlation on;
    map $comanda_subject $shouted { volatile; default "!$comanda_subject"; }
    map $comanda_scopes $plain { default $comanda_scopes; }
    limit_req_zone $comanda_subject zone=req:1m rate=1r/m;
    limit_conn_zone $comanda_subject zone=conn:1m;
    log_format seen "[$comanda_subject|$comanda_scopes|$shouted|$comanda_correlation_id|$comanda_traceparent]";
"""
VARIABLES = {
    "comanda_subject": "ana", "comanda_scopes": "a b", "shouted": "!ana",
    "comanda_correlation_id": "trace-me",
}


@pytest.fixture
def edge(start_nginx):
    def start(server, http=""):
        return start_nginx(server, http=HTTP + http, files={"key": KEY})
    return start


def ask(nginx, path="/", **options):
    return get(nginx, path, bearer=token("ana", "a b"),
               headers={"Comanda-Correlation-Id": "trace-me"}, **options)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_serves_headers_and_logs_also_when_it_was_asked_for_too_early(edge, upstream,  # noqa: F811
                                                                                 name):
    nginx = edge(f"""
        comanda_jwt key_file={{folder}}/key;
        set $early "(${name})";
        location / {{
            access_log {{folder}}/seen.log seen;
            add_header X-Early $early;
            add_header X-Late "(${name})";
            proxy_set_header X-Passed "(${name})";
            proxy_pass {upstream.url};
        }}""")
    answer = ask(nginx)
    known = name.startswith("comanda_correlation")
    assert answer.headers["X-Late"] == f"({VARIABLES[name]})"
    assert answer.headers["X-Early"] == (answer.headers["X-Late"] if known else
                                         "(!)" if name == "shouted" else "()")
    assert upstream.seen[-1]["X-Passed"] == f"({VARIABLES[name]})"
    until(lambda: "\n[ana|a b|!ana|trace-me|00-" in "\n" + (nginx.folder / "seen.log").read_text(),
          "its line of the log")


def test_who_is_refused_has_no_subject(edge, upstream):  # noqa: F811
    nginx = edge(f"""location / {{ comanda_jwt key_file={{folder}}/key; add_header X "[$comanda_subject]" always;
                                   proxy_pass {upstream.url}; }}""")
    assert get(nginx, bearer=token(key="x" * 40)).headers["X"] == "[]"


def test_limits_of_nginx_in_an_earlier_phase_see_no_subject_and_do_not_break_ours(edge, upstream):  # noqa: F811
    """limit_req and limit_conn run before the token is looked at: an empty key is not limited, and
    what they have seen is not kept."""
    nginx = edge(f"""
        comanda_jwt key_file={{folder}}/key;
        location / {{ limit_req zone=req; limit_conn conn 1; add_header X "[$comanda_subject]";
                      comanda_limit zone=z key=$comanda_subject rate=1r/m burst=2 phase=access;
                      proxy_pass {upstream.url}; }}""", http="comanda_limit_zone z keys=64;")
    answers = [ask(nginx) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["X"] == "[ana]"


def test_a_set_on_the_shipped_map_does_not_switch_the_shipped_limit_off(edge, upstream):  # noqa: F811
    """Red before: the map remembered that nobody had asked."""
    from nginx import ROOT
    shipped = (ROOT / "conf/nginx/comanda_http.conf").read_text().replace("comanda_correlation on;", "")
    limit = (ROOT / "conf/nginx/comanda_limits.conf").read_text().replace("burst=200", "burst=2") \
        .replace("rate=100r/s", "rate=1r/m")
    nginx = edge(f"""
        comanda_jwt key_file={{folder}}/key;
        set $asked_early $comanda_command_subject;
        {limit}
        location / {{ proxy_pass {upstream.url}; }}""", http=shipped)
    import requests
    codes = [requests.post(nginx.url, headers={"Authorization": f"Bearer {token()}"}, timeout=30)
             .status_code for _ in range(3)]
    assert codes == [200, 200, 429]
