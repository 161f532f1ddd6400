"""The event stream's writer against botocore's reader, and against bytes that AWS sent."""

from __future__ import annotations

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from paddock.wire import eventstream

RECORDED = {
    ("PayloadChunk", "application/octet-stream", b"Hi"): (
        "0000006c0000005ab25efdcf0d3a6d6573736167652d747970650700056576656e740b3a6576656e742d747970650700"
        "0c5061796c6f61644368756e6b0d3a636f6e74656e742d747970650700186170706c69636174696f6e2f6f637465742d"
        "73747265616d4869a4c51c46"
    ),
    ("InvokeComplete", "application/json", b"{}"): (
        "00000066000000541f56c8690d3a6d6573736167652d747970650700056576656e740b3a6576656e742d747970650700"
        "0e496e766f6b65436f6d706c6574650d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
        "7b7dface259a"
    ),
}


@pytest.mark.parametrize("given_", RECORDED)
def test_known_bytes(given_: tuple[str, str, bytes]) -> None:
    assert eventstream.event(*given_).hex() == RECORDED[given_]


@given(
    st.dictionaries(st.text(min_size=1, max_size=40), st.text(max_size=200), max_size=5),
    st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
)
def test_botocore_reads_what_was_written(headers: dict[str, str], payloads: list[bytes]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(eventstream.message(headers, payload) for payload in payloads))
    read = list(buffer)
    assert [one.payload for one in read] == payloads
    assert all(one.headers == headers for one in read)


def test_no_reader_takes_more() -> None:
    with pytest.raises(ValueError, match="16777"):
        eventstream.event("PayloadChunk", "application/octet-stream", bytes(16 << 20))
