"""AWS Lambda's own API (2015-03-31): functions, what belongs to them, layers, invocations."""

from paddock.services.lambda_ import (
    aliases,
    code,
    code_signing,
    concurrency,
    event_invokes,
    functions,
    invoke,
    invoke_stream,
    layers,
    mappings,
    permissions,
    provisioned,
    runtime_management,
    scaling,
    tags,
    urls,
    versions,
)
from paddock.services.lambda_.desk import Desk
from paddock.services.lambda_.image_tools import image_tools
from paddock.services.lambda_.not_yet import NOT_YET
from paddock.services.service import Service

SERVICE = Service(
    name="lambda",
    modules=(
        functions,
        code,
        versions,
        aliases,
        concurrency,
        provisioned,
        scaling,
        permissions,
        layers,
        event_invokes,
        mappings,
        code_signing,
        runtime_management,
        invoke,
        invoke_stream,
        tags,
        urls,
    ),
    not_yet=NOT_YET,
    self_limited=frozenset({"Invoke", "InvokeWithResponseStream"}),
    light=frozenset({"Invoke"}),
)

__all__ = ["SERVICE", "Desk", "image_tools"]
