"""What `paddock images` asks of a running server.

POST /_paddock/images          the images that were pulled, and which functions need them
POST /_paddock/images/prune    forget those that no function needs
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from paddock.model.function import Function, FunctionVersion
from paddock.model.image import ContainerImage
from paddock.services.lambda_.desk import Desk
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Response

PATH = "/_paddock/images"
Tool = Callable[[IncomingRequest], Awaitable[Response]]


def image_tools(desk: Desk) -> Mapping[str, Tool]:
    async def listed(incoming: IncomingRequest) -> Response:
        return _answer({"images": listing(await desk.images.known(), desk.catalogue.functions())})

    async def pruned(incoming: IncomingRequest) -> Response:
        gone, freed_bytes = await desk.images.prune(desk.catalogue.is_used)
        return _answer({"removed": [image.resolved_uri for image in gone], "freed_bytes": freed_bytes})

    return {PATH: listed, PATH + "/prune": pruned}


def listing(known: Sequence[ContainerImage], functions: Iterator[Function]) -> list[dict[str, Any]]:
    """One entry an image, in order of their names. shared_bytes: of layers that another of them has, too."""
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    for function in functions:
        for version in _versions(function):
            if version.image is not None:
                users[version.image.uri, version.image.digest].add(version.version_arn)
    images = {(image.uri, image.digest): image for image in known}
    having = Counter(digest for digest, _ in {(layer.digest, i.config) for i in images.values() for layer in i.layers})
    return [
        {
            "reference": image.uri,
            "digest": f"sha256:{image.digest}",
            "size_bytes": image.size_bytes,
            "shared_bytes": sum(layer.size_bytes for layer in image.layers if having[layer.digest] > 1),
            "functions": sorted(users[key]),
        }
        for key, image in sorted(images.items())
    ]


def _versions(function: Function) -> Iterator[FunctionVersion]:
    yield function.latest
    if function.serving is not None:
        yield function.serving
    yield from function.versions.values()


def _answer(document: Mapping[str, Any]) -> Response:
    return Response(status=200, headers=(("Content-Type", "application/json"),), body=msgspec.json.encode(document))
