"""What a server on the internet is sent: malformed, smuggled, oversized, slow, half-closed, never read, random."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from paddock.wire.http1 import IncomingRequest
from paddock.wire.http1_request import ClientGone
from paddock.wire.messages import Response

GET = b"GET /good HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "length and chunked": CHUNKED.replace(b"Transfer", b"Content-Length: 3\r\nTransfer") + b"0\r\n\r\n",
    "chunked and length": CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    "two lengths": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "length list": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
    "signed length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
    "negative length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc",
    "hex length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc",
    "endless length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
    "folded field": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    "fold at once": b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: h\n\n",
    "bare LF between fields": b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "bare LF at the end": b"GET / HTTP/1.1\r\nHost: h\r\n\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    "length with space before colon": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
    "control in a value": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x01b\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
    "other host in the target": b"GET http://evil/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "other scheme": b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "fragment": b"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n",
    "connect": b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "unknown method": b"FROB / HTTP/1.1\r\nHost: h\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: h\r\n\r\n",
    "unknown version": b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
    "no protocol": b"GET / x\r\nHost: h\r\n\r\n",
    "raw UTF-8 in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "coding list": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding after chunked": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "nearly chunked": CHUNKED.replace(b"chunked", b"xchunked") + b"0\r\n\r\n",
    "chunked with vertical tab": CHUNKED.replace(b" chunked", b"\x0bchunked") + b"0\r\n\r\n",
    "chunked in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "bad chunk size": CHUNKED + b"xyz\r\n",
    "negative chunk size": CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    "endless chunk size": CHUNKED + b"f" * 20 + b"\r\n",
    "chunk size with LF": CHUNKED + b"3\nabc\n0\n\n",
    "chunk size with space": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
}


def post(body: bytes) -> bytes:
    return b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_answered_400_and_closed(run, serve, name: str) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            answer = await client.ask(MALFORMED[name] + GET)
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            # Nothing of what followed was taken for a request.
            assert await client.closed()
            assert (await (await rig.connect()).ask(GET)).status == 200

    run(main())


@pytest.mark.parametrize("name", ["length and chunked", "bare LF", "bad chunk size", "no host"])
def test_requests_before_a_malformed_one_are_answered_first(run, serve, name: str) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            await client.send(post(b"1") + post(b"2") + MALFORMED[name])
            assert [(await client.answer()).body for _ in range(2)] == [b"1", b"2"]
            assert (await client.answer()).status == 400
            assert await client.closed()

    run(main())


@pytest.mark.parametrize("version", [b"2.0", b"0.9"])
def test_other_versions_are_answered_505(run, serve, version: bytes) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            assert (await client.ask(GET.replace(b"1.1", version))).status == 505
            assert await client.closed()

    run(main())


HEAD_START = b"GET / HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HEAD_START + b"X: " + b"a" * 3000 + b"\r\n\r\n",
        HEAD_START + b"X: " + b"a" * 100_000,
        b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        HEAD_START + b"".join(b"X%d: y\r\n" % n for n in range(30)) + b"\r\n",
        CHUNKED + b"0\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(30)) + b"\r\n",
        CHUNKED + b"0\r\nX: " + b"a" * 1500 + b"\r\n\r\n",
    ],
    ids=["field", "endless field", "target", "fields", "trailers", "trailer"],
)
def test_heads_over_their_limits_are_answered_431(run, serve, data: bytes) -> None:
    async def main() -> None:
        async with serve(head_bytes_max=1024, headers_max=20) as rig:
            client = await rig.connect()
            answer = await client.ask(data)
            assert answer.status == 431
            assert (await (await rig.connect()).ask(GET)).status == 200

    run(main())


def test_an_unfinished_field_is_counted_as_it_comes(run, serve) -> None:
    async def main() -> None:
        async with serve(head_bytes_max=1024) as rig:
            client = await rig.connect()
            await client.send(HEAD_START + b"X: ")
            answering = asyncio.create_task(client.answer())
            while not answering.done():
                await client.send(b"a" * 100)
                await asyncio.sleep(0)
            assert (await answering).status == 431

    run(main())


def test_endless_chunk_extensions_are_refused(run, serve) -> None:
    async def main() -> None:
        async with serve(head_bytes_max=1024) as rig:
            client = await rig.connect()
            await client.send(CHUNKED)
            await client.send(b"1;" + b"x" * 200_000)
            assert (await client.answer()).status == 400

    run(main())


def test_many_tiny_chunks_are_not_mistaken_for_waste(run, serve) -> None:
    async def main() -> None:
        async with serve(head_bytes_max=1024) as rig:
            client = await rig.connect()
            await client.send(CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")
            assert (await client.answer()).body == b"a" * 20_000

    run(main())


def test_body_over_the_limit_is_answered_413(run, serve) -> None:
    async def main() -> None:
        async with serve(body_bytes_max=1000) as rig:
            client = await rig.connect()
            assert (await client.ask(post(b"a" * 1000))).status == 200
            assert (await client.ask(post(b"a" * 1001))).status == 413
            client = await rig.connect()
            await client.send(CHUNKED + b"3e9\r\n" + b"a" * 1001)
            assert (await client.answer()).status == 413

    run(main())


def test_a_refused_upload_is_discarded_so_that_the_client_sees_the_answer(run, serve) -> None:
    async def main() -> None:
        async with serve(body_bytes_max=1000) as rig:
            client = await rig.connect()
            # Sent whole before the answer is read, as simple clients do. A reset would lose the answer.
            await client.send(post(b"a" * 20_000_000))
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")

    run(main())


def test_what_is_discarded_has_a_limit(run, serve) -> None:
    async def main() -> None:
        async with serve(body_bytes_max=1000, linger_bytes_max=100_000) as rig:
            client = await rig.connect()
            head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n"
            with pytest.raises(ConnectionError):
                await client.send(head + b"a" * 100_000_000)

    run(main())


async def unread(request: IncomingRequest) -> Response:
    return Response(status=200, body=request.path.encode())


def test_an_unread_small_body_is_drained_and_the_connection_kept(run, serve) -> None:
    async def main() -> None:
        async with serve(unread, drain_bytes_max=10_000) as rig:
            client = await rig.connect()
            await client.send(b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n")
            assert (await client.answer()).body == b"/1"
            await client.send(b"x" * 9000 + GET)
            assert (await client.answer()).body == b"/good"
            await client.send(CHUNKED)
            assert (await client.answer()).body == b"/"
            await client.send(b"5\r\nabcde\r\n0\r\n\r\n" + GET)
            assert (await client.answer()).body == b"/good"

    run(main())


def test_an_unread_large_body_ends_the_connection(run, serve) -> None:
    async def main() -> None:
        async with serve(unread, drain_bytes_max=10_000) as rig:
            client = await rig.connect()
            await client.send(b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 11000\r\n\r\n")
            assert (await client.answer()).headers["connection"] == "close"
            client = await rig.connect()
            await client.send(CHUNKED)
            assert "connection" not in (await client.answer()).headers
            await client.send(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n0\r\n\r\n" + GET)
            assert await client.closed()

    run(main())


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nHost: h\r\nX: y"])
def test_a_slow_head_is_timed_out(run, serve, start: bytes) -> None:
    async def main() -> None:
        async with serve(head_timeout_s=0.05) as rig:
            client = await rig.connect()
            answer = await client.ask(start)
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert await client.closed()

    run(main())


def test_a_head_that_trickles_is_timed_out(run, serve) -> None:
    async def main() -> None:
        async with serve(head_timeout_s=0.05) as rig:
            client = await rig.connect()
            answering = asyncio.create_task(client.answer())
            await client.send(HEAD_START)
            number = 0
            while not answering.done():
                # Each field resets nothing: the head as a whole has its time.
                await client.send(b"X: y\r\n" if number < 50 else b"")
                number += 1
                await asyncio.sleep(0.005)
            assert (await answering).status == 408

    run(main())


def test_a_silent_connection_is_closed_without_a_word(run, serve) -> None:
    async def main() -> None:
        async with serve(head_timeout_s=0.05) as rig:
            assert await (await rig.connect()).closed()

    run(main())


def test_an_idle_kept_connection_is_closed_without_a_word(run, serve) -> None:
    async def main() -> None:
        async with serve(keep_alive_timeout_s=0.05) as rig:
            client = await rig.connect()
            assert (await client.ask(GET)).status == 200
            assert await client.closed()

    run(main())


@pytest.mark.parametrize(
    "start", [b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", CHUNKED + b"9\r\nabc"]
)
def test_a_body_that_stops_is_timed_out(run, serve, start: bytes) -> None:
    seen: list[BaseException] = []

    async def handler(request: IncomingRequest) -> Response:
        try:
            await request.read(None)
        except ClientGone as error:
            seen.append(error)
            raise
        return Response(status=200)

    async def main() -> None:
        async with serve(handler, body_idle_timeout_s=0.05) as rig:
            client = await rig.connect()
            answer = await client.ask(start)
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert await client.closed()
        assert len(seen) == 1

    run(main())


def test_a_body_that_trickles_is_timed_out(run, serve) -> None:
    async def main() -> None:
        async with serve(body_idle_timeout_s=0.05, body_bytes_per_s_min=10_000) as rig:
            client = await rig.connect()
            answering = asyncio.create_task(client.answer())
            await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
            while not answering.done():
                await client.send(b"x")
                await asyncio.sleep(0.005)
            assert (await answering).status == 408

    run(main())


def test_a_slow_handler_is_not_the_clients_fault(run, serve) -> None:
    async def main() -> None:
        expired = asyncio.Event()

        async def handler(request: IncomingRequest) -> Response:
            # Long enough for another connection to time out meanwhile, with a body that waits in the buffer.
            await expired.wait()
            return Response(status=200, body=await request.read(None))

        limits = {"head_timeout_s": 0.4, "body_idle_timeout_s": 0.4, "keep_alive_timeout_s": 0.4}
        async with serve(handler, buffered_body_bytes_max=1000, **limits) as rig:
            client = await rig.connect()
            sending = asyncio.create_task(client.send(post(b"a" * 10_000_000)))
            poll = await rig.connect()
            await poll.send(GET)
            assert await (await rig.connect()).closed()
            assert await (await rig.connect()).closed()
            expired.set()
            assert len((await client.answer()).body) == 10_000_000
            assert (await poll.answer()).status == 200
            await sending

    run(main())


def test_a_client_that_waits_for_100_is_not_slow(run, serve) -> None:
    async def main() -> None:
        expired = asyncio.Event()

        async def handler(request: IncomingRequest) -> Response:
            await expired.wait()
            return Response(status=200, body=await request.read(None))

        async with serve(handler, head_timeout_s=0.05, body_idle_timeout_s=0.05) as rig:
            client = await rig.connect()
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert await (await rig.connect()).closed()
            assert await (await rig.connect()).closed()
            expired.set()
            assert (await client.answer()).status == 100
            # Now it is the client's turn, and silence is counted.
            assert (await client.answer()).status == 408

    run(main())


def test_a_packet_full_of_upgrade_offers(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            offer = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
            sending = asyncio.create_task(client.send(offer * 2000 + GET))
            for _ in range(2000):
                assert (await client.answer()).headers["x-seen"] == "GET /?"
            assert (await client.answer()).headers["x-seen"] == "GET /good?"
            await sending

    run(main())


def test_a_client_that_never_reads_is_cut_off(run, serve) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def endless(request: IncomingRequest) -> Response:
            async def pieces() -> AsyncIterator[bytes]:
                try:
                    while True:
                        yield b"x" * 65536
                finally:
                    ended.set()

            return Response(status=200, body=pieces())

        async with serve(endless, write_timeout_s=0.05) as rig:
            sock = socket.create_connection(rig.address)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(sock, GET)
            await ended.wait()
            sock.close()

    run(main())


@pytest.mark.parametrize("size", [1_000, 50_000_000])
def test_a_client_that_pipelines_and_never_reads_is_cut_off(run, serve, size: int) -> None:
    calls = 0

    async def handler(request: IncomingRequest) -> Response:
        nonlocal calls
        calls += 1
        return Response(status=200, body=b"x" * size)

    async def main() -> None:
        async with serve(handler, write_timeout_s=0.05) as rig:
            sock = socket.create_connection(rig.address)
            sock.setblocking(False)
            with pytest.raises(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(sock, GET * 10_000_000)
            sock.close()
        assert calls < 1_000_000

    run(main())


def test_a_half_closed_client_gets_its_answers(run, serve) -> None:
    async def main() -> None:
        async with serve(pipelined_max=2) as rig:
            client = await rig.connect()
            await client.send(b"".join(post(b"%d" % n) for n in range(10)))
            client.writer.write_eof()
            assert [(await client.answer()).body for _ in range(10)] == [b"%d" % n for n in range(10)]
            assert await client.closed()

    run(main())


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_in_the_middle_of_its_body(run, serve, reset: bool) -> None:
    async def main() -> None:
        gone: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def handler(request: IncomingRequest) -> Response:
            try:
                await request.read(None)
            except ClientGone:
                gone.set_result(request.client_gone)
                raise
            return Response(status=200)

        async with serve(handler) as rig:
            client = await rig.connect()
            await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
            if reset:
                raw = client.writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.close()
            assert await gone is True

    run(main())


def test_a_long_poll_notices_that_its_client_left(run, serve) -> None:
    async def main() -> None:
        polling, noticed = asyncio.Event(), asyncio.Event()

        async def handler(request: IncomingRequest) -> Response:
            assert not request.client_gone
            polling.set()
            await request.disconnected()
            await request.disconnected()  # asking again is harmless
            noticed.set()
            return Response(status=200)

        limits = dict.fromkeys(("head_timeout_s", "body_idle_timeout_s", "keep_alive_timeout_s", "write_timeout_s"))
        async with serve(handler, **limits) as rig:
            client = await rig.connect()
            await client.send(GET)
            await polling.wait()
            client.writer.close()
            await noticed.wait()

    run(main())


def test_a_big_chunked_upload_waits_for_a_slow_reader(run, serve) -> None:
    buffered_max = 0

    async def handler(request: IncomingRequest) -> Response:
        nonlocal buffered_max
        total = 0
        async for chunk in request.chunks():
            buffered_max = max(buffered_max, request.buffered_bytes)
            total += len(chunk)
            await asyncio.sleep(0)
        return Response(status=200, body=b"%d" % total)

    async def main() -> None:
        async with serve(handler, buffered_body_bytes_max=50_000) as rig:
            client = await rig.connect()
            await client.send(CHUNKED)
            sending = asyncio.create_task(client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n"))
            for _ in range(300):
                await sending
                sending = asyncio.create_task(client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n"))
            await sending
            await client.send(b"0\r\n\r\n" + GET)
            assert (await client.answer()).body == b"%d" % (301 * 65536)
            assert (await client.answer()).status == 200
        assert 0 < buffered_max <= 50_000 + 16_384

    run(main())


def test_more_connections_than_allowed_are_answered_503(run, serve) -> None:
    async def main() -> None:
        async with serve(connections_max=2) as rig:
            first, second = await rig.connect(), await rig.connect()
            assert (await first.ask(GET)).status == 200
            assert (await second.ask(GET)).status == 200
            third = await rig.connect()
            assert (await third.answer()).status == 503
            assert await third.closed()
            assert (await first.ask(GET)).status == 200

    run(main())


def test_random_bytes_and_mutations_never_stop_the_server(run, serve) -> None:
    async def main() -> None:
        chance = random.Random(20260504)
        samples = [*MALFORMED.values(), GET, post(b"abc"), CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"]
        async with serve(head_timeout_s=0.05, body_idle_timeout_s=0.05, linger_timeout_s=0.05) as rig:
            good = await rig.connect()
            for number in range(400):
                data = bytearray(b"".join(chance.choices(samples, k=chance.randint(1, 4))))
                for _ in range(chance.randint(0, 6)):
                    at = chance.randrange(len(data))
                    data[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
                if number % 10 == 0:
                    data = bytearray(chance.randbytes(200))
                client = await rig.connect()
                client.writer.write(bytes(data))
                client.writer.write_eof()
                # Whatever came, it is answered with HTTP or nothing, and the end comes.
                try:
                    got = await client.reader.read()
                except ConnectionError:
                    got = b""
                assert got == b"" or got.startswith(b"HTTP/1.1 "), bytes(data)
                if number % 50 == 0:
                    good = await rig.connect()
                    assert (await good.ask(GET)).status == 200

    run(main())
