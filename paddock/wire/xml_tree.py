"""XML in: a document as a small tree, with limits; no document type, so no entities but XML's own five.

Prefixes are dropped from element names: AWS's clients differ in how they write namespaces, and none needs them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from paddock.wire.errors import Malformed

DEPTH_MAX = 32
ELEMENTS_MAX = 100_000
"""A CompleteMultipartUpload of 10,000 parts has some 40,000."""

NOT_WELL_FORMED = "The XML you provided was not well-formed or did not validate against our published schema"


@dataclass(slots=True)
class Element:
    """name: without prefix. attributes: names as written. text: all character data directly inside."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, name: str) -> list[Element]:
        return [child for child in self.children if child.name == name]

    def first(self, name: str) -> Element | None:
        return next((child for child in self.children if child.name == name), None)


def malformed_xml(message: str = NOT_WELL_FORMED) -> Malformed:
    return Malformed(message, code="MalformedXML")


def read(document: bytes) -> Element:
    """The root element. Raises Malformed (MalformedXML), also for a document type or too much of anything."""
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError):
        raise malformed_xml() from None
    if builder.root is None:
        raise malformed_xml()
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MAX or len(self._open) >= DEPTH_MAX:
            raise malformed_xml()
        element = Element(name.rpartition(":")[2], attributes)
        if self._open:
            self._open[-1].children.append(element)
        elif self.root is None:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def text(self, data: str) -> None:
        if self._texts:
            self._texts[-1].append(data)

    def refuse(self, *_: object) -> None:
        raise malformed_xml()
