"""System calls as such, past any C library."""

import ctypes
import errno
import json
import os
import platform
import signal

with open(os.path.join(os.path.dirname(__file__), "syscalls.json")) as _file:
    NUMBERS = json.load(_file)[platform.machine()]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_BLOCKED_S = 5


def _word(argument):
    """Text becomes a pointer to it, {"zeros": n} one to so many zero bytes, {"words": [...]} one to 64-bit words."""
    if isinstance(argument, str):
        return ctypes.c_char_p(argument.encode())
    if isinstance(argument, dict) and "zeros" in argument:
        return ctypes.create_string_buffer(argument["zeros"])
    if isinstance(argument, dict):
        return (ctypes.c_uint64 * len(argument["words"]))(*argument["words"])
    return ctypes.c_long(argument)


def _in_child(action):
    """Run `action` in a child; "EPERM", {"returned": n} or "signal n"."""
    inward, outward = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(_BLOCKED_S)
        ctypes.set_errno(0)
        result = action()
        number = ctypes.get_errno()
        text = f"returned {result}" if result != -1 else errno.errorcode.get(number, str(number))
        os.write(outward, text.encode())
        os._exit(0)
    os.close(outward)
    text = os.read(inward, 100).decode()
    os.close(inward)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return text


def syscall(name, *arguments):
    number = NUMBERS[name] if isinstance(name, str) else name
    words = [_word(argument) for argument in arguments]
    return _in_child(lambda: _libc.syscall(ctypes.c_long(number), *words))


def sweep(first, last, without):
    """number -> outcome of every call from first to last with arguments that mean nothing, in a child each."""
    nothing = [ctypes.c_long(0)] * 6
    found = {}
    for number in range(first, last + 1):
        if number not in without:
            found[number] = _in_child(lambda number=number: _libc.syscall(ctypes.c_long(number), *nothing))
    return found


def int_0x80():
    """getpid by the 32-bit gate, from 64-bit code of our own making."""
    import mmap

    code = bytes.fromhex("53b814000000cd805bc3")  # push rbx; mov eax, 20; int 0x80; pop rbx; ret
    page = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    gate = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return _in_child(gate)


def ioctl(path, request):
    import fcntl

    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.ioctl(fd, request, b"x" * 8)
    finally:
        os.close(fd)


def set_hostname():
    import socket

    socket.sethostname("intruder")


def read_other_memory(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        return len(file.read(1))


def overwrite_own_program():
    """runc's CVE-2019-5736, at our own interpreter."""
    fd = os.open("/proc/self/exe", os.O_WRONLY)
    os.close(fd)


def overwrite_through_path_handle():
    """The same through a descriptor that was opened for nothing and is opened again for writing."""
    handle = os.open("/proc/self/exe", os.O_PATH)
    try:
        os.close(os.open(f"/proc/self/fd/{handle}", os.O_WRONLY))
    finally:
        os.close(handle)
