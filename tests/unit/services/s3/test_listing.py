"""Pages of keys against the plain definition: sort, filter by prefix, roll up, cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.errors import ClientError
from paddock.services.s3.listing import Place, after_key, after_prefix, gather
from paddock.services.s3.nouns import Version
from paddock.services.s3.reading import Span, exact_range, slices_of, span_of

KEYS = st.sets(st.text(alphabet="ab/ä\U0010ffff\0", max_size=6).filter(bool), max_size=30)


def pages(keys: set[str], prefix: str, delimiter: str, size: int) -> list[str]:
    """Everything that all pages together show."""
    rows = [{"key": key} for key in sorted(keys, key=lambda key: key.encode())]

    def fetch(place: Place, limit: int) -> Sequence[dict[str, str]]:
        return [row for row in rows if row["key"].encode() >= place.key.encode()][:limit]

    found: list[str] = []
    last = ""
    for _ in range(len(keys) + 1):
        start = Place(after_key(last)) if last else Place("")
        page = gather(fetch, prefix=prefix, delimiter=delimiter, start=start, size=size, skip=last)
        shown = sorted([*(row["key"] for row in page.rows), *page.prefixes], key=lambda key: key.encode())
        assert len(shown) <= size
        found += shown
        if not page.more:
            return found
        last = page.last
    raise AssertionError("the pages do not end")


@given(keys=KEYS, prefix=st.text(alphabet="ab/", max_size=2), delimiter=st.sampled_from(["", "/", "ab"]),
       size=st.integers(1, 5))  # fmt: skip
def test_pages_together_are_the_whole_list(keys: set[str], prefix: str, delimiter: str, size: int) -> None:
    def rolled(key: str) -> str:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        return key if end < 0 else key[: end + len(delimiter)]

    wanted = sorted({rolled(key) for key in keys if key.startswith(prefix)}, key=lambda key: key.encode())
    assert pages(keys, prefix, delimiter, size) == wanted


@given(st.text(max_size=4), st.text(max_size=4))
def test_after_prefix_is_after_all_that_begin_with_it(prefix: str, rest: str) -> None:
    behind = after_prefix(prefix)
    if behind is not None and not any("\ud800" <= char <= "\udfff" for char in prefix + rest):
        assert (prefix + rest).encode() < behind.encode()


def test_ranges() -> None:
    version = Version(bucket="b", key="k", seq=1, size=10)
    assert span_of({}, version) == Span(0, 10)
    assert span_of({"Range": "bytes=2-3"}, version) == Span(2, 2, whole=False)
    assert span_of({"Range": "bytes=-3"}, version) == Span(7, 3, whole=False)
    assert span_of({"Range": "bytes=-30"}, version) == Span(0, 10, whole=False)
    for odd in ("bytes=", "bytes=-", "bytes=3-2", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b"):
        assert span_of({"Range": odd}, version).whole
    for wrong in ("bytes=10-", "bytes=-0", f"bytes={10**18}-"):
        with pytest.raises(ClientError):
            span_of({"Range": wrong}, version)
    with pytest.raises(ClientError):
        exact_range("bytes=0-10", 10)
    segments = [("a", 4), ("b", 0), ("c", 6)]
    assert [(each.name, each.start, each.size) for each in slices_of(segments, Span(2, 5))] == [
        ("a", 2, 2),
        ("c", 0, 3),
    ]
    assert [each.name for each in slices_of(segments, Span(0, 10))] == ["a", "c"]
    assert slices_of(segments, Span(0, 0)) == []
