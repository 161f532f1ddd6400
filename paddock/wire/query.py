"""query: a form in (Action, Version, members by dotted names), XML out.

The form's dotted names are first hung into a tree, in one pass, then read along the input shape:

    PolicyArns.member.1.arn=a&Tags.member.1.Key=k  ->  {"PolicyArns": [{"arn": "a"}], "Tags": [{"Key": "k"}]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from botocore.model import Shape

from paddock.wire import scalars
from paddock.wire.errors import Malformed, OutputDefect, UnknownOperation
from paddock.wire.forms import form_fields
from paddock.wire.messages import Request, Response
from paddock.wire.rest import unknown_members
from paddock.wire.service import Plan, ServiceModel

DEPTH_MAX = 32
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# ---- form -> params


def operation_of(service: ServiceModel, request: Request) -> str:
    """Raises UnknownOperation, or Malformed when the form can not be read."""
    fields = form_fields(request)
    action, version = fields.get("Action", ""), fields.get("Version", service.model.api_version)
    if not action:
        raise UnknownOperation("The request must contain the parameter Action", code="MissingAction", status=400)
    if action not in service.plans or version != service.model.api_version:
        message = f"Could not find operation {action[:128]} for version {version[:32]}"
        raise UnknownOperation(message, code="InvalidAction", status=400)
    return action


@dataclass(slots=True)
class _Field:
    text: str | None = None
    children: dict[str, _Field] = field(default_factory=dict)


def parse(plan: Plan, request: Request) -> dict[str, Any]:
    """Input members. Raises Malformed."""
    root = _Field()
    for name, value in form_fields(request).items():
        parts = name.split(".")
        if len(parts) > DEPTH_MAX:
            raise _malformed("A parameter name has too many parts")
        node = root
        for part in parts:
            node = node.children.setdefault(part, _Field())
        node.text = value
    if plan.input.shape is None:
        return {}
    return _structure(plan.input.shape, root)


def _structure(shape: Shape, node: _Field) -> dict[str, Any]:
    found = {}
    for name, member in shape.members.items():
        child = node.children.get(_member_name(name, member))
        if child is not None:
            found[name] = _value(member, child)
    return found


def _member_name(name: str, member: Shape) -> str:
    """A flattened list goes by its elements' name, when they have one."""
    if member.type_name == "list" and member.serialization.get("flattened"):
        return str(member.member.serialization.get("name") or member.serialization.get("name", name))
    return str(member.serialization.get("name", name))


def _value(shape: Shape, node: _Field) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(shape, node)
        case "list":
            if not shape.serialization.get("flattened"):
                node = node.children.get(shape.member.serialization.get("name", "member"), _Field())
            return [_value(shape.member, child) for child in _numbered(node)]
        case "map":
            return _map(shape, node)
        case _:
            if node.text is None:
                raise _malformed("A parameter is a structure where a value is wanted")
            try:
                return scalars.parse_text(shape, node.text, scalars.ISO8601)
            except Malformed as error:
                raise _malformed(error.message) from None


def _map(shape: Shape, node: _Field) -> dict[str, Any]:
    if not shape.serialization.get("flattened"):
        node = node.children.get("entry", _Field())
    key_name = shape.key.serialization.get("name", "key")
    value_name = shape.value.serialization.get("name", "value")
    found = {}
    for entry in _numbered(node):
        key, value = entry.children.get(key_name), entry.children.get(value_name)
        if key is None or value is None or key.text is None:
            raise _malformed("A map entry needs a key and a value")
        found[key.text] = _value(shape.value, value)
    return found


def _numbered(node: _Field) -> Iterator[_Field]:
    """Children in the order of their numbers; gaps close up."""
    for name in node.children:
        if not (name.isascii() and name.isdigit() and len(name) < 10):
            raise _malformed("A list index is not a number")
    for name in sorted(node.children, key=int):
        yield node.children[name]


def _malformed(message: str) -> Malformed:
    return Malformed(message, code="MalformedInput")


# ---- output -> XML


def serialize(
    service: ServiceModel,
    plan: Plan,
    output: Mapping[str, Any],
    request_id: str,
    headers: tuple[tuple[str, str], ...],
) -> Response:
    """`<OpResponse><OpResult>...</OpResult><ResponseMetadata>...`. Raises OutputDefect."""
    unknown_members(plan.output, output)
    shape, name = plan.output.shape, plan.operation.name
    inner = ""
    if shape is not None:
        inner = "".join(_members_xml(shape, output))
        wrapper = shape.serialization.get("resultWrapper")
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
    metadata = f"<ResponseMetadata><RequestId>{xml_text(request_id)}</RequestId></ResponseMetadata>"
    body = f'<{name}Response xmlns="{_namespace(service)}">{inner}{metadata}</{name}Response>'
    return _response(plan.status, body, request_id, headers)


def serialize_error(
    service: ServiceModel,
    *,
    code: str,
    message: str,
    status: int,
    fault: str,
    members: Mapping[str, Any],
    request_id: str,
) -> Response:
    """`<ErrorResponse><Error><Type>Sender|Receiver`. Further members are written as text, as they were given."""
    kind = "Sender" if fault == "client" else "Receiver"
    extra = "".join(f"<{name}>{xml_text(str(value))}</{name}>" for name, value in members.items())
    error = f"<Type>{kind}</Type><Code>{xml_text(code)}</Code><Message>{xml_text(message)}</Message>{extra}"
    body = (
        f'<ErrorResponse xmlns="{_namespace(service)}"><Error>{error}</Error>'
        f"<RequestId>{xml_text(request_id)}</RequestId></ErrorResponse>"
    )
    return _response(status, body, request_id, ())


def _response(status: int, body: str, request_id: str, headers: tuple[tuple[str, str], ...]) -> Response:
    fields = (("x-amzn-RequestId", request_id), ("Content-Type", "text/xml"), *headers)
    return Response(status=status, headers=fields, body=body.encode())


def _namespace(service: ServiceModel) -> str:
    return str(service.model.metadata.get("xmlNamespace", ""))


def _members_xml(shape: Shape, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        raise OutputDefect(f"{shape.name}: a structure is wanted, not {type(value).__name__}")
    for name in value:
        if name not in shape.members:
            raise OutputDefect(f"{shape.name} has no member {name}")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield _xml(member, _member_name(name, member), value[name])


def _xml(shape: Shape, name: str, value: Any) -> str:
    flattened = shape.serialization.get("flattened")
    match shape.type_name:
        case "structure":
            return f"<{name}>{''.join(_members_xml(shape, value))}</{name}>"
        case "list":
            if not isinstance(value, list | tuple):
                raise OutputDefect(f"{shape.name}: a list is wanted, not {type(value).__name__}")
            member_name = name if flattened else shape.member.serialization.get("name", "member")
            items = "".join(_xml(shape.member, member_name, item) for item in value)
            return items if flattened else f"<{name}>{items}</{name}>"
        case "map":
            if not isinstance(value, Mapping):
                raise OutputDefect(f"{shape.name}: a map is wanted, not {type(value).__name__}")
            key_name = shape.key.serialization.get("name", "key")
            value_name = shape.value.serialization.get("name", "value")
            tag = name if flattened else "entry"
            entries = "".join(
                f"<{tag}>{_xml(shape.key, key_name, key)}{_xml(shape.value, value_name, item)}</{tag}>"
                for key, item in value.items()
            )
            return entries if flattened else f"<{name}>{entries}</{name}>"
        case _:
            return f"<{name}>{xml_text(scalars.format_text(shape, value, scalars.ISO8601))}</{name}>"


def xml_text(text: str) -> str:
    """Escaped; a carriage return survives as a reference, what XML 1.0 can not say becomes U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;", '"': "&quot;"})
