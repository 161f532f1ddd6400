"""Other processes, and what they hold."""

import os
import signal
import time


def pids():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def commands():
    """pid -> command name, of everything that can be seen."""
    found = {}
    for pid in pids():
        with open(f"/proc/{pid}/comm") as file:
            found[pid] = file.read().strip()
    return found


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)


def kill_from_child(pid, number=signal.SIGKILL):
    """Also tells that it is still there afterwards."""
    os.kill(pid, number)
    os.kill(pid, 0)
    return pid


def raise_priority():
    os.setpriority(os.PRIO_PROCESS, 0, -10)


def shield_from_memory_kill(file):
    """Ask the kernel to rather kill others when the machine runs out of memory."""
    value = "-500" if file.endswith("oom_score_adj") else "-8"
    with open(f"/proc/self/{file}", "w") as target:
        target.write(value)


def daemon(path):
    """A grandchild in a session of its own that notes the time in a file as long as it lives."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            with open(path, "w") as file:
                file.write(str(time.monotonic_ns()))
            time.sleep(0.001)
    os.waitpid(pid, 0)
    return "started"


def orphans(count):
    """Leave that many grandchildren behind that end at once; how many zombies stay?"""
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.waitpid(pid, 0)
    deadline = time.monotonic() + 10
    zombies = -1
    while zombies and time.monotonic() < deadline:
        states = []
        for pid in pids():
            try:
                with open(f"/proc/{pid}/stat") as file:
                    states.append(file.read().rpartition(")")[2].split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
        zombies = states.count("Z")
    return zombies


def environment(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().decode("latin-1")


def own_environment():
    return dict(os.environ)


def in_memory(needle):
    """Does the text (given reversed, so that asking does not plant it) stand anywhere in our memory?"""
    wanted = needle.encode()[::-1]  # in one step: a text turned around would lie about, freed but readable
    hits = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            first, last = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(first)
                hits += memory.read(last - first).count(wanted)
            except OSError:
                continue
    return hits - 1  # `wanted` itself
