"""REST routes, read from the model's requestUri and kept as a tree of path segments.

A path is split while still percent-encoded and each captured segment decoded afterwards, so that an ARN with an
encoded slash stays one segment. At every node a literal is tried before `{X}`, and `{X}` before the greedy `{X+}`.
Routes that share method and path (`?List=ALL`) are told apart by their literal query, then by the parameters that
they require in query and headers (S3's UploadPart, CopyObject and PutObject): the route asking for most wins.
Every path also matches with one slash more at its end, as older SDKs send it.

    /2015-03-31/functions/{FunctionName}/invocations   POST
    -> root . "2015-03-31" . "functions" . {} . "invocations" . POST -> Invoke
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from paddock.wire.errors import Malformed

SEGMENTS_MAX = 1_026
"""A path of more segments matches nothing; the longest that can mean something is a bucket and a key of slashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A route as a service model gives it. query_needed, headers_needed (lower case): required parameters.

    deprecated: of two that otherwise ask for the same, this one never wins.
    """

    operation: str
    method: str
    uri: str
    query_needed: frozenset[str] = frozenset()
    headers_needed: frozenset[str] = frozenset()
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """labels: the names of captured segments, in order. query: literal (name, value) pairs that must be there.

    needs: required parameters by name, in query and in headers: they decide only between routes.
    """

    operation: str
    labels: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    literals: int
    needs: tuple[frozenset[str], frozenset[str]]
    deprecated: bool

    @property
    def modesty(self) -> tuple[int, int, bool]:
        """Sorts the route that asks for most to the front."""
        return -len(self.query), -len(self.needs[0]) - len(self.needs[1]), self.deprecated


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    label: _Node | None = None
    greedy: _Node | None = None
    methods: dict[str, list[Route]] = field(default_factory=dict)


class Router:
    """Built once from a model's templates."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._root = _Node()
        for template in templates:
            self._add(template)

    def _add(self, template: Template) -> None:
        operation, uri = template.operation, template.uri
        path, _, query = uri.partition("?")
        node, labels, literals = self._root, [], 0
        for segment in _segments(path.rstrip("/")):
            if segment.startswith("{") and segment.endswith("+}"):
                labels.append(segment[1:-2])
                node.greedy = node.greedy or _Node()
                node = node.greedy
            elif segment.startswith("{") and segment.endswith("}"):
                labels.append(segment[1:-1])
                node.label = node.label or _Node()
                node = node.label
            elif "{" in segment:
                raise ValueError(f"{operation}: a label that is part of a segment: {uri}")
            else:
                literals += 1
                node = node.literals.setdefault(segment, _Node())
        route = Route(
            operation=operation,
            labels=tuple(labels),
            query=tuple(query_pairs(query)),
            literals=literals,
            needs=(template.query_needed, template.headers_needed),
            deprecated=template.deprecated,
        )
        routes = node.methods.setdefault(template.method, [])
        routes.append(route)
        routes.sort(key=lambda each: each.modesty)

    def match(
        self, method: str, path: str, query: str = "", headers: Container[str] = ()
    ) -> tuple[Route, dict[str, str]] | None:
        """The route and its decoded labels, or None. Raises Malformed when a segment is not UTF-8."""
        segments = _segments(path)
        if len(segments) > SEGMENTS_MAX:
            return None
        sought = _Sought(method, query, headers)
        found = _walk(self._root, segments, 0, (), sought)
        if found is None and segments and segments[-1] == "":
            found = _walk(self._root, segments[:-1], 0, (), sought)
        if found is None:
            return None
        route, captured = found
        return route, {name: decode_segment(raw) for name, raw in zip(route.labels, captured, strict=True)}


def _segments(path: str) -> list[str]:
    if path in ("", "/"):
        return []
    return path[1:].split("/") if path[0] == "/" else path.split("/")


@dataclass(frozen=True, slots=True)
class _Sought:
    method: str
    query: str
    headers: Container[str]


def _walk(
    node: _Node, segments: Sequence[str], at: int, captured: tuple[str, ...], sought: _Sought
) -> tuple[Route, tuple[str, ...]] | None:
    if at == len(segments):
        routes = node.methods.get(sought.method)
        route = _among(routes, sought) if routes else None
        return (route, captured) if route else None
    segment = segments[at]
    literal = node.literals.get(segment)
    found = _walk(literal, segments, at + 1, captured, sought) if literal else None
    if found is None and node.label is not None and segment:
        found = _walk(node.label, segments, at + 1, (*captured, segment), sought)
    if found is None and node.greedy is not None and segments[at:] != [""]:
        # Shortest first, and only where a literal follows: a route that goes on after `{X+}` wins over one that ends.
        for end in range(at + 1, len(segments) + 1):
            if end == len(segments) or segments[end] in node.greedy.literals:
                taken = "/".join(segments[at:end])
                found = _walk(node.greedy, segments, end, (*captured, taken), sought)
                if found is not None:
                    break
    return found


def _among(routes: Sequence[Route], sought: _Sought) -> Route | None:
    """The route whose query is there, and of those the one whose needs are met; the last of them if none's are."""
    if len(routes) == 1 and not routes[0].query:
        return routes[0]
    sent = query_pairs(sought.query)
    names = {name for name, _ in sent}
    found = None
    for route in routes:
        if all((name, value) in sent if value else name in names for name, value in route.query):
            if found is not None and len(route.query) < len(found.query):
                break
            found = route
            in_query, in_headers = route.needs
            if in_query <= names and all(name in sought.headers for name in in_headers):
                break
    return found


def decode_segment(raw: str) -> str:
    """Percent-decoded UTF-8. Raises Malformed."""
    if "%" not in raw:
        return raw
    try:
        return unquote(raw, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("The request URI is not valid UTF-8") from None


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Decoded (name, value) pairs in order; a plus is a plus, as everywhere in AWS but in forms. Raises Malformed."""
    if not query:
        return []
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((decode_segment(name), decode_segment(value)))
    return pairs
