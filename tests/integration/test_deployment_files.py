# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yml and k8s/ repeat settings and queues: each is compared with what really is."""
import json
import pathlib
import re
import subprocess

import pytest
import requests
import yaml

from nginx import BUILD, ROOT, Nginx, free_ports

DAEMONS = sorted(path.name for path in (ROOT / "workers").iterdir()
                 if (path / "main.c").exists() and path.name != "comandactl")
QUEUE_DRIVEN = sorted(set(DAEMONS) - {"relay"})
K8S = ROOT / "k8s" / "base"


def settings_of(daemon):
    """The table that the daemon documents itself by: name → setting."""
    done = subprocess.run([BUILD / "bin" / f"comanda-{daemon}", "--settings"], check=True,
                          capture_output=True, text=True)
    return {setting["name"]: setting for setting in json.loads(done.stdout)["settings"]}


def objects():
    """Every Kubernetes object that the kustomization names."""
    kustomization = yaml.safe_load((K8S / "kustomization.yaml").read_text())
    found = []
    for resource in kustomization["resources"]:
        found += list(yaml.safe_load_all((K8S / resource).read_text()))
    return found


def of_kind(kind):
    return {each["metadata"]["name"]: each for each in objects() if each["kind"] == kind}


def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def container_of(daemon):
    pod = of_kind("Deployment")[f"comanda-{daemon}"]["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def check_names(daemon, names):
    """Names (or NAME_FILE of a secret) are in the table, and each required one is there."""
    table = settings_of(daemon)
    given = set()
    for name in names:
        plain = name.removesuffix("_FILE") if name not in table else name
        assert plain in table, f"{daemon}: {name} is no setting of it"
        if plain != name:
            assert table[plain]["type"] == "secret", f"{daemon}: {plain} takes no file"
        given.add(plain)
    for name, setting in table.items():
        assert setting["default"] is not None or name in given, f"{daemon}: {name} is missing"


@pytest.mark.parametrize("daemon", DAEMONS)
def test_compose_gives_each_daemon_the_settings_it_takes(daemon):
    service = compose()["services"][daemon]
    check_names(daemon, service["environment"])
    assert service["command"] == [f"/usr/local/bin/comanda-{daemon}"]
    for name, value in service["environment"].items():
        if name.endswith("_FILE"):
            assert pathlib.Path(value).name in service["secrets"]
    for secret in service["secrets"]:
        assert secret in compose()["secrets"]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_deployment_gives_each_daemon_the_settings_it_takes(daemon):
    _, container = container_of(daemon)
    check_names(daemon, [variable["name"] for variable in container["env"]])
    assert container["command"] == [f"/usr/local/bin/comanda-{daemon}"]
    for variable in container["env"]:
        secret = settings_of(daemon)[variable["name"]]["type"] == "secret"
        assert ("valueFrom" in variable) == secret, variable["name"]


def test_every_daemon_runs_in_both_and_nothing_else():
    assert sorted(set(compose()["services"]) - {"postgres", "rabbitmq", "redis", "migrate", "edge"}) \
        == DAEMONS
    assert sorted(of_kind("Deployment")) == sorted(["comanda-edge",
                                                    *(f"comanda-{name}" for name in DAEMONS)])


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_grace_is_longer_than_the_drain(daemon):
    drain = seconds(settings_of(daemon)["COMANDA_DRAIN"]["default"])
    pod, _ = container_of(daemon)
    assert pod["terminationGracePeriodSeconds"] >= drain + 5
    assert seconds(compose()["services"][daemon]["stop_grace_period"]) >= drain + 5


@pytest.mark.parametrize("daemon", DAEMONS)
def test_probes_ask_the_port_that_the_daemon_listens_on(daemon):
    _, container = container_of(daemon)
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    port = int(environment["COMANDA_PROBE"].rpartition(":")[2])
    assert [each["containerPort"] for each in container["ports"]
            if each["name"] == "http-probes"] == [port]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http-probes"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http-probes"}


def queues_of_the_architecture():
    """Queue → daemon, from ARCHITECTURE.md's table of messages."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text[text.index("| exchange"):]
    table = table[:table.index("\n\n")]
    names = {name for row in table.splitlines() if row.startswith("| `comanda.")
             for name in re.findall(r"`(comanda\.(?!retry|dead|unrouted|events|commands|replies)\w+)`",
                                    row)}
    # The saga's daemon serves ordering too: the saga's own confirm and reject.
    return {name: {"comanda.ordering": "saga"}.get(name, name.removeprefix("comanda."))
            for name in names}


def plain_queue(trigger):
    """The role's own queue; where it has lanes, the trigger is to sum all of them and nothing else."""
    if "useRegex" not in trigger:
        return trigger["queueName"]
    queue = trigger["queueName"].partition("(")[0].lstrip("^").replace("\\", "")
    fits = re.compile(trigger["queueName"]).search
    assert trigger["useRegex"] == "true" and trigger["operation"] == "sum" and fits(queue)
    assert all(fits(f"{queue}.lane.{lane}") for lane in range(8))
    assert not any(fits(f"{queue}.{other}") for other in ("dead", "retry.1", "lane.8", "lane.0.x"))
    return queue


def test_there_is_a_scaled_object_for_each_queue_driven_worker_on_its_own_queues():
    wanted = {}
    for queue, daemon in queues_of_the_architecture().items():
        wanted.setdefault(f"comanda-{daemon}", set()).add(queue)
    found = {name: {plain_queue(trigger["metadata"]) for trigger in each["spec"]["triggers"]}
             for name, each in of_kind("ScaledObject").items()}
    assert found == wanted
    assert sorted(found) == [f"comanda-{name}" for name in QUEUE_DRIVEN]


@pytest.mark.parametrize("daemon", QUEUE_DRIVEN)
def test_a_scaled_object_is_what_keda_and_the_prefetch_ask_for(daemon):
    scaled = of_kind("ScaledObject")[f"comanda-{daemon}"]["spec"]
    assert scaled["scaleTargetRef"]["name"] in of_kind("Deployment")
    assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    assert "replicas" not in of_kind("Deployment")[f"comanda-{daemon}"]["spec"]
    prefetch = int(settings_of(daemon)["COMANDA_PREFETCH"]["default"])
    for trigger in scaled["triggers"]:
        assert trigger["type"] == "rabbitmq"
        # http counts unacknowledged messages, so that a pod at work is not taken away.
        assert trigger["metadata"]["protocol"] == "http"
        assert trigger["metadata"]["mode"] == "QueueLength"
        assert int(trigger["metadata"]["value"]) >= prefetch
        assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication")


def test_the_relay_has_a_standby_and_no_autoscaler():
    assert of_kind("Deployment")["comanda-relay"]["spec"]["replicas"] == 2
    assert "comanda-relay" not in of_kind("ScaledObject")


def test_every_file_of_the_base_is_named_and_every_name_is_a_file():
    named = yaml.safe_load((K8S / "kustomization.yaml").read_text())["resources"]
    assert sorted(named) == sorted(path.name for path in K8S.glob("*.yaml")
                                   if path.name != "kustomization.yaml")


def broker_users():
    """Program → what its user may read, of the one table."""
    done = subprocess.run([BUILD / "bin" / "comandactl", "access", "show", "--json"], check=True,
                          capture_output=True, text=True)
    return {row["user"].removeprefix("comanda_"): row["on"] for row in json.loads(done.stdout)
            if row["server"] == "rabbitmq" and row["right"] == "read"}


def test_every_daemon_has_a_broker_user_and_reads_the_queues_of_the_architecture():
    users = broker_users()
    assert sorted(users) == sorted([*DAEMONS, "operator", "keda"])
    for queue, daemon in queues_of_the_architecture().items():
        for other in QUEUE_DRIVEN:
            assert bool(re.match(users[other], queue)) == (other == daemon), (other, queue)


def test_no_two_programs_share_a_secret():
    """One user a program: else one that is taken over speaks for the other."""
    seen = {}
    for name, service in compose()["services"].items():
        for secret in service.get("secrets", []):
            assert secret not in seen, f"{secret}: of {seen.get(secret)} and {name}"
            seen[secret] = name
    assert sorted(seen) == sorted(compose()["secrets"])
    keys = {}
    for deployment in of_kind("Deployment").values():
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    assert reference["name"] == deployment["metadata"]["name"]
                    assert tuple(reference.values()) not in keys
                    keys[tuple(reference.values())] = variable["name"]


def test_the_servers_of_compose_know_nobody_without_a_password():
    services = compose()["services"]
    assert "environment" not in services["rabbitmq"], "no default user: definitions are loaded"
    assert "./conf/rabbitmq/comanda.conf:/etc/rabbitmq/conf.d/20-comanda.conf:ro" in \
        services["rabbitmq"]["volumes"]
    conf = (ROOT / "conf" / "rabbitmq" / "comanda.conf").read_text()
    assert "load_definitions = /run/secrets/rabbitmq_definitions" in conf.splitlines()
    command = services["redis"]["command"]
    assert command[command.index("--aclfile") + 1] == "/run/secrets/redis_users"


def workloads():
    """Every pod of ours: name → its spec."""
    return {f"{each['kind']} {each['metadata']['name']}": each["spec"]["template"]["spec"]
            for each in objects() if each["kind"] in ("Deployment", "Job")}


@pytest.mark.parametrize("name", sorted(workloads()))
def test_a_pod_runs_with_the_least_privilege(name):
    pod = workloads()[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
    for volume in pod.get("volumes", []):
        assert set(volume) - {"name"} <= {"emptyDir", "secret", "configMap"}


@pytest.mark.parametrize("service", ["migrate", "edge", *DAEMONS])
def test_a_container_of_compose_runs_with_the_least_privilege(service):
    container = compose()["services"][service]
    assert container["user"] == "10001:10001"
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in container and "cap_add" not in container
    assert service == "edge" or "ports" not in container


def lines_of_the_security_page(first):
    page = (ROOT / "docs" / "security.md").read_text()
    return re.search(rf"```sh\n({first}.*?)```", page, re.S)[1]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """The folder that the lines of the security page make."""
    folder = tmp_path_factory.mktemp("page")
    done = subprocess.run(["bash", "-euc", lines_of_the_security_page("mkdir -m 0?700 secrets")],
                          cwd=folder, capture_output=True, text=True, timeout=60,
                          env={"PATH": f"{BUILD / 'bin'}:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return folder / "secrets"


def test_the_lines_of_the_security_page_make_every_secret_of_compose(secrets):
    for name, secret in compose()["secrets"].items():
        text = (secrets.parent / secret["file"]).read_text()
        assert text.strip(), name
    for daemon in DAEMONS:
        environment = {name.removeprefix(daemon + "_"): secrets.parent / secret["file"]
                       for name, secret in compose()["secrets"].items()
                       if name.startswith(daemon + "_")}
        checked = subprocess.run(
            [BUILD / "bin" / f"comanda-{daemon}", "--check"], capture_output=True, text=True,
            env={"COMANDA_SAGAS": str(ROOT / "conf" / "sagas"),
                 **{f"COMANDA_{name.upper()}_FILE": str(path)
                    for name, path in environment.items()}})
        assert checked.returncode == 0, checked.stderr
    assert {path.name for path in (secrets / "edge").iterdir()} == {
        "comanda_servers.conf", "jwt.key", "redis_password"}
    assert "user=comanda_edge" in (secrets / "edge/comanda_servers.conf").read_text()
    assert "alter role comanda_payment" in (secrets / "roles.sql").read_text()


def test_compose_keeps_to_the_first_versions_words():
    assert set(compose()) <= {"version", "services", "networks", "volumes", "secrets"}


def test_docker_compose_takes_the_file_as_it_is():
    """Its own schema, not ours; the images and secrets need not be there."""
    done = subprocess.run(["docker-compose", "-f", ROOT / "docker-compose.yml", "config"],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rendered = yaml.safe_load(done.stdout)
    assert sorted(rendered["services"]) == sorted(compose()["services"])
    assert sorted(rendered["secrets"]) == sorted(compose()["secrets"])


def test_compose_and_the_private_postgres_agree_on_the_logs_settings():
    command = compose()["services"]["postgres"]["command"]
    given = dict(word.split("=") for word in command if "=" in word)
    script = (ROOT / "scripts" / "servers.d" / "postgres.sh").read_text()
    for name, value in given.items():
        assert f"{name} = {value}" in script, name


def container_edge(secrets):
    """nginx with the container's configuration and the page's secrets, on paths of ours. The names
    of the servers are those of compose's services, which no other machine knows."""
    files = {path.name: path.read_text() for path in (secrets / "edge").iterdir()}
    named = re.findall(r"host=(\w+)|hot (\w+):", files["comanda_servers.conf"])
    assert named == [("postgres", ""), ("", "redis")]
    assert {"postgres", "redis"} <= set(compose()["services"])
    files["comanda_servers.conf"] = re.sub(r"(host=|hot )\w+", r"\1localhost",
                                           files["comanda_servers.conf"])
    for path in (ROOT / "conf" / "nginx").glob("comanda_*.conf"):
        files[path.name] = path.read_text()
    nginx = Nginx(files=files)
    text = (ROOT / "conf" / "nginx" / "nginx.conf").read_text()
    text = text.replace("/usr/local/lib/comanda", str(nginx.folder)).replace("8080", str(nginx.port))
    (nginx.folder / "nginx.conf").write_text(text)
    for path in (nginx.folder / "nginx.conf", nginx.folder / "comanda_servers.conf"):
        path.write_text(path.read_text().replace("/etc/comanda", str(nginx.folder)))
    return nginx


def test_the_containers_nginx_serves_prometheus_where_the_pod_says_and_nowhere_else(secrets):
    """With the page's secrets. A header makes a request come from afar."""
    nginx = container_edge(secrets)
    template = of_kind("Deployment")["comanda-edge"]["spec"]["template"]
    notes = template["metadata"]["annotations"]
    assert notes["prometheus.io/scrape"] == "true"
    port, path = notes["prometheus.io/port"], notes["prometheus.io/path"]
    assert int(port) in [each["containerPort"]
                         for each in template["spec"]["containers"][0]["ports"]]
    assert [each["targetPort"] for each in of_kind("Service")["comanda-edge"]["spec"]["ports"]] == \
        ["http"]
    own = free_ports("1").stdout.strip()
    conf = nginx.folder / "nginx.conf"
    conf.write_text(re.sub(rf"listen {port};", f"listen {own};", conf.read_text()).replace(
        "access_log off;", "access_log off; set_real_ip_from 127.0.0.0/8;"))
    try:
        nginx.start()
        afar = {"X-Real-IP": "192.0.2.7"}
        page = requests.get(f"http://127.0.0.1:{own}{path}", headers=afar, timeout=20)
        assert page.status_code == 200 and "\ncomanda_postgres_losses_total " in page.text
        assert requests.get(f"http://127.0.0.1:{own}/v1/products", timeout=20).status_code == 404
        assert requests.get(nginx.url + "/metrics", timeout=20).status_code == 200
        refused = requests.get(nginx.url + "/metrics", headers=afar, timeout=20)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:comanda:problem:forbidden")
    finally:
        nginx.remove()


KUBECTL = """#!/bin/bash
shift 5
for file in "${@:2}"; do
    file=${file#--from-file=}
    if [ -d "$file" ]; then
        printf '%s\\n' "$file"/* | sed "s|.*/|$1 |"
    else
        [ -s "${file#*=}" ] && [ "$(wc -l < "${file#*=}")" = 0 ] && echo "$1 ${file%%=*}"
    fi
done >> made
"""


def test_the_lines_of_the_security_page_make_every_secret_of_kubernetes(secrets, tmp_path):
    """A value with a line's end would be one in the daemon's environment too."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    done = subprocess.run(["bash", "-euc", lines_of_the_security_page('printf %s "http://')],
                          cwd=secrets, capture_output=True, text=True, timeout=60,
                          env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    wanted = {("comanda-edge", path.name) for path in (secrets / "edge").iterdir()}
    text = "".join(path.read_text() for path in K8S.glob("*.yaml"))
    assert "secretName: comanda-edge" in text
    wanted |= set(re.findall(r"name: (comanda-\w+)\n +key: (\w+)", text))
    assert {tuple(line.split()) for line in (secrets / "made").read_text().splitlines()} == wanted
    assert len(wanted) == 3 + 6 * 2 + 1 + 1 + 1 + 1
