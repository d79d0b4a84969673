# SPDX-License-Identifier: Apache-2.0
"""configure.sh on a stranger's machine, played by programs that stand before the real ones in PATH."""
import os
import shutil
import subprocess

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

# The stub of dpkg-query: all packages there but those in `absent`.
DPKG_QUERY = """#!/bin/sh
/usr/bin/dpkg-query "$@" | grep -v -x -F -f {folder}/absent.lines
"""
# Notes how it was called, what stood in its way to start a service, and installs.
APT_GET = """#!/bin/sh
echo "apt-get $*" >>{folder}/calls
case " $* " in
*" install "*)
    cat {folder}/policy-rc.d >{folder}/policy.seen 2>/dev/null
    cat {folder}/createcluster.conf >{folder}/cluster.seen 2>/dev/null
    echo "$DEBIAN_FRONTEND" >{folder}/frontend.seen
    [ -e {folder}/apt.fails ] && exit 100
    echo "nothing is absent" >{folder}/absent.lines
    ;;
esac
"""


class Machine:
    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "comanda"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(os.path.join(ROOT, "scripts", "nginx_source_fits"), self.root / "scripts")
        text = open(os.path.join(ROOT, "configure.sh"), encoding="utf-8").read()
        for name, path in (("POLICY", "policy-rc.d"), ("CLUSTER_CONF", "createcluster.conf")):
            begin = text.index(f"\n{name}=") + 1
            text = text[:begin] + f"{name}={folder}/{path}" + text[text.index("\n", begin):]
        (self.root / "configure.sh").write_text(text)
        (self.root / "configure.sh").chmod(0o755)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.program("dpkg-query", DPKG_QUERY)
        self.program("apt-get", APT_GET)
        self.program("sudo", "#!/bin/sh\nexit 1\n")
        self.absent()
        self.user(0)

    def program(self, name, text):
        (self.bin / name).write_text(text.replace("{folder}", str(self.folder)))
        (self.bin / name).chmod(0o755)

    def user(self, number):
        self.program("id", f"#!/bin/sh\necho {number}\n")

    def absent(self, *packages):
        lines = ["nothing is absent"]
        for package in packages:
            version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                                     capture_output=True, text=True, check=False).stdout
            lines.append(f"installed {package} {version}")
        (self.folder / "absent.lines").write_text("\n".join(lines) + "\n")

    def configure(self, *options, path=None):
        done = subprocess.run(["/bin/sh", self.root / "configure.sh", *options],
                              env={"PATH": str(path or f"{self.bin}:/usr/bin:/bin")}, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout + done.stderr

    def read(self, name):
        path = self.folder / name
        return path.read_text() if path.exists() else None


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_with_everything_there_an_ordinary_user_needs_no_root(machine):
    machine.user(1000)
    code, said = machine.configure()
    assert code == 0, said
    assert machine.read("calls") is None
    assert "PREFIX ?= /usr/local" in (machine.root / "build" / "config.mk").read_text()


def test_an_ordinary_user_is_told_the_exact_command(machine):
    machine.user(1000)
    machine.absent("shellcheck", "gcc")
    code, said = machine.configure()
    assert code == 1
    assert "gcc" in said and "shellcheck" in said
    assert f"sudo {machine.root}/configure.sh --install" in said
    assert machine.read("calls") is None


def test_the_fuzzers_compiler_is_wanted_only_on_demand(machine):
    machine.user(1000)
    machine.absent("clang")
    code, said = machine.configure()
    assert code == 0, said
    code, said = machine.configure("--with-fuzz")
    assert code == 1
    assert "clang" in said and "configure.sh --install --with-fuzz" in said


def test_root_installs_what_is_missing_and_starts_no_service(machine):
    machine.absent("redis-server")
    code, said = machine.configure()
    assert code == 0, said
    update, install = machine.read("calls").splitlines()
    assert "update" in update
    assert "--no-install-recommends" in install and "DPkg::Lock::Timeout" in install
    assert install.split()[-1] == "redis-server"
    assert machine.read("frontend.seen").strip() == "noninteractive"
    assert "exit 101" in machine.read("policy.seen")
    assert "create_main_cluster = false" in machine.read("cluster.seen")
    assert machine.read("policy-rc.d") is None
    assert said.index("will run: apt-get install") < said.index("all dependencies are there")


def test_an_existing_policy_is_left_alone(machine):
    (machine.folder / "policy-rc.d").write_text("#!/bin/sh\n# mine\nexit 0\n")
    machine.absent("redis-server")
    code, said = machine.configure()
    assert code == 0, said
    assert machine.read("policy-rc.d") == machine.read("policy.seen") == \
        "#!/bin/sh\n# mine\nexit 0\n"


def test_an_existing_cluster_configuration_comes_back_as_it_was(machine):
    (machine.folder / "createcluster.conf").write_text("# mine\nstart_conf = 'auto'\n")
    machine.absent("postgresql-15")
    code, said = machine.configure()
    assert code == 0, said
    assert machine.read("cluster.seen").startswith("# mine\n")
    assert "create_main_cluster = false" in machine.read("cluster.seen")
    assert machine.read("createcluster.conf") == "# mine\nstart_conf = 'auto'\n"


def test_a_cluster_configuration_that_has_decided_is_not_touched(machine):
    (machine.folder / "createcluster.conf").write_text("create_main_cluster = true\n")
    machine.absent("postgresql-15")
    machine.configure()
    assert machine.read("cluster.seen") == "create_main_cluster = true\n"


def test_an_installation_that_fails_takes_its_policy_back(machine):
    (machine.folder / "apt.fails").touch()
    machine.absent("redis-server")
    code, _ = machine.configure()
    assert code != 0
    assert "exit 101" in machine.read("policy.seen")
    assert machine.read("policy-rc.d") is None


def test_root_may_only_check(machine):
    machine.absent("redis-server")
    code, said = machine.configure("--no-install")
    assert code == 1 and "redis-server" in said
    assert machine.read("calls") is None


def test_options_reach_the_makefile(machine):
    code, said = machine.configure("--prefix=/opt/comanda")
    assert code == 0, said
    assert "PREFIX ?= /opt/comanda" in (machine.root / "build" / "config.mk").read_text()


def test_another_nginx_tree_is_refused(machine):
    code, said = machine.configure("--with-nginx-source=/usr/src")
    assert code == 1 and "/usr/src" in said


@pytest.mark.parametrize("option", ["--bogus", "--prefix=here", "--prefix=/a b", "--prefix"])
def test_a_wrong_option_is_named(machine, option):
    code, said = machine.configure(option)
    assert code == 2
    assert option.split("=")[0] in said


def test_help_needs_nothing(machine):
    code, said = machine.configure("--help")
    assert code == 0
    for option in ("--prefix", "--install", "--with-nginx-source", "--help"):
        assert option in said


# What Debian has before anything is installed: neither make nor gcc, nor sudo.
ESSENTIAL = ("awk", "cat", "chmod", "cp", "dirname", "dpkg", "grep", "mkdir", "mktemp", "rm", "sed", "sh",
             "tr")


def test_a_bare_machine_without_sudo_is_told_what_is_missing_and_what_is_too_old(machine):
    machine.user(1000)
    machine.program("dpkg-query", "#!/bin/sh\n/usr/bin/dpkg-query \"$@\" | sed -e '/^installed make /d'"
                                  " -e 's/^installed gcc .*/installed gcc 4:9.3/'\n")
    (machine.bin / "sudo").unlink()
    for name in ESSENTIAL:
        (machine.bin / name).symlink_to(shutil.which(name, path="/usr/bin:/bin"))
    code, said = machine.configure(path=machine.bin)
    assert code == 1
    missing = said[said.index("missing or too old:"):].splitlines()
    assert sorted(line.split()[0] for line in missing[1:3]) == ["gcc", "make"], said
    assert not missing[3].startswith(" "), said
    assert "found absent" in said and "found 4:9.3" in said
    assert f"su -c '{machine.root}/configure.sh --install'" in said
    assert "not found" not in said
