"""Reaching anything but our own two doors."""

import os
import socket
import urllib.error
import urllib.request

TIMEOUT_S = 3


def interfaces():
    return sorted(name for _, name in socket.if_nameindex())


def connect(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect((host, port))
        return "connected"


def datagram(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.sendto(b"x", (host, port))


def connect_unix(name):
    """`@name` is abstract."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect("\0" + name[1:] if name.startswith("@") else name)
        return "connected"


def open_socket(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()
    return "opened"


def listen_abstract(name):
    """A child of ours keeps listening there after we have answered."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind("\0" + name)
    sock.listen(8)
    os.set_inheritable(sock.fileno(), True)
    globals()["kept"] = sock
    return "listening"


def listen_tcp(port):
    sock = socket.create_server(("0.0.0.0", port))
    globals()["kept_tcp"] = sock
    return "listening"


def http(method, url, body="", headers=None):
    """(status, body) of any answer. Proxies and redirects are left alone."""
    request = urllib.request.Request(url, body.encode() or None, headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return [answer.status, answer.read(4096).decode("latin-1")]
    except urllib.error.HTTPError as error:
        return [error.code, error.read(4096).decode("latin-1")]


def runtime_api(method, path, body=""):
    return http(method, f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01{path}", body)


def paddock(service, operation, arguments, access_key=None, region=None):
    """A call of Paddock's own API with boto3, as functions do. The whole answer as text."""
    import boto3
    from botocore.exceptions import ClientError

    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": "x", "aws_session_token": None}
    client = boto3.client(service, region_name=region, **(keys if access_key else {}))
    try:
        return repr(getattr(client, operation)(**arguments))
    except ClientError as error:
        return error.response["Error"]["Code"]


def routes():
    with open("/proc/net/route") as file:
        return file.read().splitlines()[1:]


def add_address():
    """An address and a way out for ourselves, through the one netlink family we may open."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton("10.1.2.3"))
        fcntl.ioctl(sock, 0x8916, struct.pack("16s16s", b"lo:7", address))


def hoard(where, connections, declared, each):
    """Begin many large requests and end none; bytes that were taken from us. where: "runtime" or a path."""
    import select
    import time

    if where == "runtime":
        address = os.environ["AWS_LAMBDA_RUNTIME_API"]
        path = f"/2018-06-01/runtime/invocation/{os.environ['REQUEST_ID']}/response"
    else:
        address, path = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"), where
    host, port = address.split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {declared}\r\n\r\n".encode()
    left = {}
    for _ in range(connections):
        sock = socket.create_connection((host, int(port)))
        sock.sendall(head)
        sock.setblocking(False)
        left[sock] = each
    globals()["hoarded"] = list(left)
    block = b"x" * 65536
    progress = time.monotonic()
    while left and time.monotonic() - progress < 1:
        for sock in select.select([], list(left), [], 0.1)[1]:
            try:
                left[sock] -= sock.send(block)
            except OSError:
                left[sock] = 0
            progress = time.monotonic()
            if left[sock] <= 0:
                del left[sock]
    return connections * each - sum(left.values())


def own_address():
    """The address that others would see, were they told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("203.0.113.10", 9))
        return sock.getsockname()[0]


def addresses(name):
    return sorted({entry[4][0] for entry in socket.getaddrinfo(name, 80)})


def send_from(source, host, port, text):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: an address that is not ours may be bound
        sock.bind((source, 0))
        return sock.sendto(text.encode(), (host, port))


def flood_with_questions(host, count):
    """DNS questions that nobody will wait for."""
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0\4slow\7example\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(question, (host, 53))
    return count
