"""Reading what is not ours, writing where we may not."""

import os


def read(path, size=4096):
    with open(path, "rb") as file:
        return file.read(size).decode("latin-1")


def write(path, text="x"):
    """Overwrite, without creating."""
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, text.encode())
    finally:
        os.close(fd)


def create(directory):
    """A new file in the directory."""
    path = os.path.join(directory, "intruder")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)
    return path


def listing(path):
    return sorted(os.listdir(path))


def link_target(path):
    return os.readlink(path)


def remove(path):
    os.unlink(path)


def chmod(path, mode):
    os.chmod(path, mode)


def device(mode, major, minor):
    """mknod in /tmp."""
    path = "/tmp/device"
    os.mknod(path, mode, os.makedev(major, minor))
    os.unlink(path)
    return path


def devices_anywhere():
    """Every device node the mount namespace shows: type, major, minor."""
    found = {}
    for top, directories, names in os.walk("/", followlinks=False):
        if top == "/":
            directories[:] = [name for name in directories if name not in ("proc", "usr", "lib", "lib64", "bin")]
        for name in names:
            path = os.path.join(top, name)
            info = os.lstat(path)
            if info.st_mode & 0o170000 in (0o020000, 0o060000):
                kind = "b" if info.st_mode & 0o170000 == 0o060000 else "c"
                found[path] = f"{kind}{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    return found


def descriptors():
    """What each open descriptor is, without the one that looks."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink("/proc/self/fd/" + name)
        except FileNotFoundError:
            continue
    return found


def run_setuid_copy():
    """A program of our own with the setuid bit: whose id has it when it runs?"""
    path = "/tmp/suid"
    with open(path, "wb") as file, open("/usr/bin/id", "rb") as program:
        file.write(program.read())
    os.chmod(path, 0o6755)
    try:
        with os.popen(path + " -u") as output:
            return output.read().strip()
    finally:
        os.unlink(path)


def writable_places():
    """Directories outside /proc, /dev and /tmp that we may write to, by the kernel's own answer."""
    found = []
    for top, directories, _ in os.walk("/", followlinks=False):
        if top == "/":
            directories[:] = [name for name in directories if name not in ("proc", "dev", "tmp")]
        if os.access(top, os.W_OK):
            found.append(top)
    return found
