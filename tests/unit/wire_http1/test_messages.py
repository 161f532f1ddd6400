"""Well-formed requests and their answers: framing, keep-alive, pipelines, HEAD, HTTP/1.0, expectations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from paddock.wire.http1 import BodyTooLarge, IncomingRequest
from paddock.wire.http1_request import ClientGone
from paddock.wire.messages import Headers, Request, Response

GET = b"GET /a%2Fb?x=%31 HTTP/1.1\r\nHost: h\r\n\r\n"


def post(body: bytes, extra: bytes = b"") -> bytes:
    return b"POST /p HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s" % (extra, len(body), body)


def test_answers_with_raw_path_date_and_server(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            answer = await (await rig.connect()).ask(GET)
            assert answer.status == 200
            assert answer.headers["x-seen"] == "GET /a%2Fb?x=%31"
            assert answer.headers["date"] == "Mon, 04 May 2026 03:02:01 GMT"
            assert answer.headers["server"] == "paddock"
            assert answer.headers["content-length"] == "0"
            assert "connection" not in answer.headers

    run(main())


def test_ten_thousand_requests_on_one_connection(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            for number in range(10_000):
                body = b"%d" % number
                assert (await client.ask(post(body))).body == body
            assert rig.server.connection_count == 1

    run(main())


def test_pipelined_requests_in_one_packet_are_answered_in_order(run, serve) -> None:
    async def handler(request: IncomingRequest) -> Response:
        body = await request.read(None)
        # The first ones take the most turns of the loop: order must come from the server.
        for _ in range(20 - int(body)):
            await asyncio.sleep(0)
        return Response(status=200, body=body)

    async def main() -> None:
        async with serve(handler, pipelined_max=3) as rig:
            client = await rig.connect()
            await client.send(b"".join(post(b"%d" % n) for n in range(20)))
            assert [(await client.answer()).body for _ in range(20)] == [b"%d" % n for n in range(20)]

    run(main())


def test_a_pipeline_longer_than_a_slice_is_answered_whole(run, serve) -> None:
    async def main() -> None:
        async with serve(pipelined_max=4) as rig:
            client = await rig.connect()
            count = 3000
            sending = asyncio.create_task(client.send(b"".join(post(b"%d" % n) for n in range(count))))
            for n in range(count):
                assert (await client.answer()).body == b"%d" % n
            await sending

    run(main())


def test_byte_by_byte(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            chunked = (
                b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n"
            )
            for byte in post(b"xyz") + chunked + GET:
                await client.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.answer()).body == b"xyz"
            assert (await client.answer()).body == b"abc"
            assert (await client.answer()).headers["x-seen"] == "GET /a%2Fb?x=%31"

    run(main())


def test_chunked_body_with_trailers(run, serve) -> None:
    async def handler(request: IncomingRequest) -> Response:
        assert request.content_length is None
        body = await request.read(100)
        return Response(status=200, headers=tuple(request.trailers), body=body)

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            answer = await client.ask(
                b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"
            )
            assert answer.body == b"abc"
            assert answer.headers["x-sum"] == "7"

    run(main())


def test_expect_continue_is_sent_only_when_the_handler_reads(run, serve) -> None:
    async def handler(request: IncomingRequest) -> Response:
        if request.path == "/refuse":
            return Response(status=403)
        return Response(status=200, body=await request.read(None))

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            head = b"PUT %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
            assert (await client.ask(head % b"/")).status == 100
            assert (await client.ask(b"abc")).body == b"abc"
            # Unread: no 100, and nobody knows whether the body will come, so the connection ends.
            answer = await client.ask(head % b"/refuse")
            assert (answer.status, answer.headers["connection"]) == (403, "close")
            assert await client.closed()

    run(main())


def test_a_body_that_came_unasked_needs_no_continue(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            assert (await client.ask(post(b"abc", b"Expect: 100-continue\r\n"))).body == b"abc"
            assert (await client.ask(post(b"d"))).body == b"d"

    run(main())


def test_other_expectations_are_refused(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            assert (await client.ask(post(b"abc", b"Expect: a-miracle\r\n"))).status == 417
            assert await client.closed()

    run(main())


def test_head_has_the_headers_and_no_body(run, serve) -> None:
    async def handler(request: IncomingRequest) -> Response:
        if request.path == "/declared":
            return Response(status=200, headers=(("Content-Length", "12345"),))
        return Response(status=200, body=b"hello")

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            answer = await client.ask(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD")
            assert answer.headers["content-length"] == "5"
            answer = await client.ask(b"HEAD /declared HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD")
            assert answer.headers["content-length"] == "12345"
            assert (await client.ask(GET)).body == b"hello"

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(run, serve, status: int) -> None:
    async def handler(request: IncomingRequest) -> Response:
        return Response(status=status, body=b"never sent")

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            for _ in range(2):
                answer = await client.ask(GET)
                assert answer.status == status
                assert "content-length" not in answer.headers
                assert "transfer-encoding" not in answer.headers

    run(main())


def test_http_1_0_closes_unless_asked_to_keep(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            answer = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert answer.headers["connection"] == "keep-alive"
            answer = await client.ask(b"GET / HTTP/1.0\r\n\r\n")
            assert answer.headers["connection"] == "close"
            assert await client.closed()

    run(main())


def test_connection_close_ends_it_and_what_follows_is_ignored(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            answer = await client.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + GET)
            assert answer.headers["connection"] == "close"
            assert await client.closed()

    run(main())


def test_an_offered_upgrade_is_ignored_with_its_body_kept(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
            await client.send(post(b"abc", upgrade) + GET)
            assert (await client.answer()).body == b"abc"
            assert (await client.answer()).headers["x-seen"].startswith("GET")
            chunked = (
                b"POST / HTTP/1.1\r\nHost: h\r\n" + upgrade + b"Transfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n"
            )
            assert (await client.ask(chunked)).body == b"z"
            assert (await client.ask(GET)).status == 200

    run(main())


def test_absolute_target_is_reduced_to_its_path(run, serve) -> None:
    async def main() -> None:
        async with serve() as rig:
            client = await rig.connect()
            answer = await client.ask(b"GET http://h/x?y=1 HTTP/1.1\r\nHost: h\r\n\r\n")
            assert answer.headers["x-seen"] == "GET /x?y=1"

    run(main())


def test_streamed_answers(run, serve) -> None:
    closed: list[bool] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for piece in (b"one", b"", b"x" * 100_000):
                yield piece
        finally:
            closed.append(True)

    async def handler(request: IncomingRequest) -> Response:
        headers = (("Content-Length", "100003"),) if request.path == "/known" else ()
        return Response(status=200, headers=headers, body=pieces())

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            answer = await client.ask(GET)
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.body == b"one" + b"x" * 100_000
            answer = await client.ask(b"GET /known HTTP/1.1\r\nHost: h\r\n\r\n")
            assert answer.headers["content-length"] == "100003"
            assert "transfer-encoding" not in answer.headers
            answer = await client.ask(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD")
            answer = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert answer.headers["connection"] == "close"
            assert len(answer.body) == 100_003
            assert len(closed) == 3  # HEAD never starts the generator, so it has nothing to clean up

    run(main())


@pytest.mark.parametrize("declared", ["5", "2"])
def test_a_stream_of_another_length_than_declared_breaks_the_connection(run, serve, declared: str) -> None:
    async def three() -> AsyncIterator[bytes]:
        yield b"abc"

    async def handler(request: IncomingRequest) -> Response:
        return Response(status=200, headers=(("content-length", declared),), body=three())

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            await client.send(GET)
            try:
                got = await client.reader.read()
            except ConnectionError:
                return
            assert len(got.partition(b"\r\n\r\n")[2]) < int(declared)

    run(main())


def test_a_stream_that_fails_is_cut_off_without_a_last_chunk(run, serve) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"abc"
        raise RuntimeError("no more")

    async def handler(request: IncomingRequest) -> Response:
        return Response(status=200, body=failing())

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            await client.send(GET)
            try:
                got = await client.reader.read()
            except ConnectionError:
                return
            assert not got.endswith(b"0\r\n\r\n")

    run(main())


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b", "€"])
def test_response_splitting_is_refused(run, serve, value: str) -> None:
    async def handler(request: IncomingRequest) -> Response:
        return Response(status=200, headers=(("X-Value", value),), body=b"secret")

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            await client.send(GET)
            got = await client.reader.read()
            assert got.startswith(b"HTTP/1.1 500 ")
            assert b"Set-Cookie" not in got
            assert b"secret" not in got

    run(main())


def test_framing_headers_of_a_handler_are_not_copied(run, serve) -> None:
    async def handler(request: IncomingRequest) -> Response:
        headers = (("Content-Length", "99"), ("Transfer-Encoding", "chunked"), ("Connection", "close"), ("Date", "x"))
        return Response(status=200, headers=headers, body=b"abc")

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            for _ in range(2):
                answer = await client.ask(GET)
                assert answer.body == b"abc"
                assert "transfer-encoding" not in answer.headers
                assert answer.headers["date"].endswith("GMT")

    run(main())


def test_a_failing_handler_is_answered_500_without_detail(run, serve) -> None:
    async def handler(request: IncomingRequest) -> Response:
        raise RuntimeError("the password is hunter2")

    async def main() -> None:
        async with serve(handler) as rig:
            client = await rig.connect()
            answer = await client.ask(GET)
            assert answer.status == 500
            assert b"hunter2" not in answer.body

    run(main())


def test_a_request_made_by_hand_reads_as_one_from_the_wire() -> None:
    async def main() -> None:
        whole = Request(method="POST", path="/x", query="q", headers=Headers([("A", "b")]), body=b"abc")
        assert await IncomingRequest.of(whole).read(3) == b"abc"
        assert [chunk async for chunk in IncomingRequest.of(whole).chunks(3)] == [b"abc"]
        with pytest.raises(BodyTooLarge):
            await IncomingRequest.of(whole).read(2)
        broken = IncomingRequest(method="POST", path="/", headers=Headers(), content_length=None)
        broken.feed(b"ab")
        broken.fail(ClientGone("gone"))
        with pytest.raises(ClientGone):
            await broken.read(None)

    asyncio.run(main())
