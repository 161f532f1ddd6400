"""Taking more than one's share."""

import os
import socket
import sys
import time


def processes_until_refused():
    """How many children there can be at once, and the error then."""
    children = []
    try:
        while len(children) < 5000:
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            children.append(pid)
        return [len(children), "no end"]
    except OSError as error:
        return [len(children), error.strerror]
    finally:
        for pid in children:
            os.kill(pid, 9)
        for pid in children:
            os.waitpid(pid, 0)


def fork_bomb():
    """Never ends by itself."""
    while True:
        try:
            os.fork()
        except OSError:
            continue


def memory_bomb():
    held = []
    while True:
        held.append(bytearray(8 << 20))


def spin():
    while True:
        pass


def descriptors_until_refused():
    held = []
    try:
        while len(held) < 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
        return [len(held), "no end"]
    except OSError as error:
        return [len(held), os.strerror(error.errno)]
    finally:
        for fd in held:
            os.close(fd)


def fill(path, most):
    """Write until refused; bytes that went in, and the error."""
    block = b"x" * (1 << 20)
    written = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while written < most:
            written += os.write(fd, block)
        return [written, "no end"]
    except OSError as error:
        return [written, os.strerror(error.errno)]
    finally:
        os.close(fd)
        os.unlink(path)


def keep(path, most):
    """As `fill`, and what was written stays."""
    written = 0
    with open(path, "wb", 0) as file:
        try:
            while written < most:
                written += file.write(b"x" * (1 << 20))
            return [written, "no end"]
        except OSError as error:
            return [written, os.strerror(error.errno)]


def inodes(path):
    return os.statvfs(path).f_files


def flood(total):
    line = "x" * 1000 + "\n"
    for _ in range(total // len(line)):
        sys.stdout.write(line)
    sys.stdout.flush()
    return total


def flood_raw(total):
    """Past Python's own buffers, without a line's end."""
    block = b"x" * 65536
    written = 0
    while written < total:
        written += os.write(1, block)
    return written


def big_answer(size):
    return "x" * size


def raw_channel(hexadecimal, repeat=1):
    """Write bytes of our own on the runtime's channel, as if we were the runtime."""
    data = bytes.fromhex(hexadecimal) * repeat
    written = 0
    while written < len(data):
        written += os.write(3, data[written:])
    return written


def forged_answer(request_id, text):
    """A whole answer frame for a request of our choosing; "" is the one we are in."""
    import json
    import struct

    head = json.dumps({"id": request_id or os.environ["REQUEST_ID"]}).encode()
    body = text.encode()
    os.write(3, struct.pack("!IBxH", len(head) + len(body), ord("R"), len(head)) + head + body)
    return "sent"


def endless_frame():
    """Announce four gigabytes and keep sending."""
    os.write(3, bytes.fromhex("ffffffff52000000"))
    block = b"x" * 65536
    while True:
        os.write(3, block)


def send_descriptors():
    """Push descriptors at the server through the channel, as many as fit."""
    import array

    with open("/dev/null") as null:
        rights = array.array("i", [null.fileno()] * 200)
        channel = socket.socket(fileno=os.dup(3))
        frame = bytes.fromhex("0000000252000002") + b"{}"
        for _ in range(20):
            channel.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        channel.close()
    return "sent"


def close_channel():
    os.close(3)
