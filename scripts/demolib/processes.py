# SPDX-License-Identifier: Apache-2.0
"""Processes with pid files: started in a folder of their own, recognised, ended, swept up."""
import os
import pathlib
import signal
import subprocess
import time

POLL_SECONDS = 0.05


def stat_fields(pid):
    """The fields of /proc/PID/stat after the name; None when there is no such process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def start_time(pid):
    """When the process began; a pid that was given out again has another one."""
    fields = stat_fields(pid)
    return fields[19] if fields else None


def is_running(pid):
    fields = stat_fields(pid)
    return bool(fields) and fields[0] != "Z"


def read_pid(home, name):
    """The pid in NAME.pid while it is alive and still the process that was started; else None."""
    try:
        pid = int((home.path / "pids" / f"{name}.pid").read_text())
        started = (home.path / "run" / f"{name}.started").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if is_running(pid) and start_time(pid) == started else None


def note_pid(home, name, pid):
    home.write(f"pids/{name}.pid", f"{pid}\n")
    home.write(f"run/{name}.started", f"{start_time(pid)}\n")


def forget_pid(home, name):
    (home.path / "pids" / f"{name}.pid").unlink(missing_ok=True)
    (home.path / "run" / f"{name}.started").unlink(missing_ok=True)


def launch(home, name, command, folder, environment=None):
    """Starts a program in its own session and folder; its output is appended to logs/NAME.log."""
    log = home.path / "logs" / f"{name}.log"
    with open(log, "ab") as output:
        home.own(log)
        child = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                 stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                                 **home.as_user())
    note_pid(home, name, child.pid)
    return child


def wait_until_gone(pid, seconds):
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(home, name, first=signal.SIGTERM, seconds=30):
    """Asks a process to end, and after that time makes it."""
    pid = read_pid(home, name)
    if pid:
        try:
            os.kill(pid, first)
            if not wait_until_gone(pid, seconds):
                os.kill(pid, signal.SIGKILL)
                wait_until_gone(pid, seconds)
        except ProcessLookupError:
            pass
    forget_pid(home, name)


def programs_within(folder, program):
    """Pids of the programs of that name whose working folder it is."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "cwd") == str(folder) and \
                    (entry / "comm").read_text().strip() == program:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def sweep(folder, program, seconds=10):
    """Ends what a killed parent has left behind, such as nginx's workers, which hold its port."""
    deadline = time.monotonic() + seconds
    while left := programs_within(folder, program):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{program} in {folder} cannot be ended: {left}")
        time.sleep(POLL_SECONDS)
