"""A service as botocore's model describes it, and finding the service that a request is meant for.

Detection goes from what is signed to what is guessed: the service in the credential scope (header or query),
the X-Amz-Target prefix, the first label of Host, a matching REST path, the form's Action and Version. A scope naming
a service that is not served ends the search: guessing further would answer with another service's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from botocore.loaders import Loader
from botocore.model import OperationModel
from botocore.model import ServiceModel as BotocoreModel

from paddock.wire.errors import WireError
from paddock.wire.forms import form_fields
from paddock.wire.messages import Request
from paddock.wire.rest import Places, places_of
from paddock.wire.router import Router, Template, query_pairs
from paddock.wire.sigv4 import credential_of

PROTOCOLS = frozenset({"rest-json", "rest-xml", "json", "query"})
"""Those that protocol.py speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One operation, worked out ahead: where its members travel, the status of success, the route's own query.

    stream: the payload member that may be larger than memory and is read in pieces, or "".
    """

    operation: OperationModel
    input: Places
    output: Places
    status: int
    literal_query: frozenset[str]
    stream: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPlan:
    """One modelled error. code: as it stands on the wire. status 0: the model names none."""

    code: str
    status: int
    sender_fault: bool
    places: Places


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServiceModel:
    """name: botocore's service name. errors: by shape name and by wire code.

    streams: whether any operation has a streamed payload. bare_errors: errors in XML without an envelope (S3's).
    """

    name: str
    signing_name: str
    protocol: str
    model: BotocoreModel
    plans: Mapping[str, Plan]
    errors: Mapping[str, ErrorPlan]
    router: Router
    streams: bool = False
    bare_errors: bool = False

    @property
    def operation_names(self) -> tuple[str, ...]:
        return tuple(self.plans)

    def operation(self, name: str) -> OperationModel:
        """Raises KeyError for a name the model does not have."""
        return self.plans[name].operation


def load_service(name: str) -> ServiceModel:
    """Read the newest model of botocore. Raises ValueError when its protocol is not spoken here (yet)."""
    model = BotocoreModel(Loader().load_service_model(name, "service-2"), name)
    protocol = model.metadata["protocol"]
    if protocol not in PROTOCOLS:
        raise ValueError(f"{name} speaks {protocol}; known are {', '.join(sorted(PROTOCOLS))}")
    operations = [model.operation_model(each) for each in model.operation_names]
    rest = [_template(each) for each in operations] if protocol.startswith("rest-") else []
    plans = {each.name: _plan(each) for each in operations}
    return ServiceModel(
        name=name,
        signing_name=model.signing_name,
        protocol=protocol,
        model=model,
        plans=plans,
        errors=_error_plans(model),
        router=Router(rest),
        streams=any(plan.stream for plan in plans.values()),
        bare_errors=model.endpoint_prefix == "s3",
    )


def _template(operation: OperationModel) -> Template:
    """What the router must know. Required members in query and headers tell operations of one path apart."""
    shape = operation.input_shape
    required = [] if shape is None else [shape.members[name].serialization for name in shape.required_members]
    return Template(
        operation=operation.name,
        method=operation.http["method"],
        uri=operation.http["requestUri"],
        query_needed=frozenset(each["name"] for each in required if each.get("location") == "querystring"),
        headers_needed=frozenset(each["name"].lower() for each in required if each.get("location") == "header"),
        deprecated=operation.deprecated,
    )


def _plan(operation: OperationModel) -> Plan:
    places = places_of(operation.input_shape)
    payload = places.payload
    return Plan(
        operation=operation,
        input=places,
        stream=payload.member if payload is not None and payload.shape.serialization.get("streaming") else "",
        output=places_of(operation.output_shape),
        status=int(operation.http.get("responseCode", 200)),
        literal_query=frozenset(
            name for name, _ in query_pairs(operation.http.get("requestUri", "").partition("?")[2])
        ),
    )


def _error_plans(model: BotocoreModel) -> dict[str, ErrorPlan]:
    plans: dict[str, ErrorPlan] = {}
    for shape in model.error_shapes:
        details = shape.metadata.get("error", {})
        plan = ErrorPlan(
            code=details.get("code", shape.name),
            status=int(details.get("httpStatusCode", 0)),
            sender_fault=bool(details.get("senderFault", False)),
            places=places_of(shape),
        )
        plans[shape.name] = plan
        plans.setdefault(plan.code, plan)
    return plans


class Switchboard:
    """The services that are served, and who of them a request is for."""

    def __init__(self, services: Sequence[ServiceModel]) -> None:
        self._services = tuple(services)
        self._by_signing_name = _grouped((each.signing_name, each) for each in services)
        self._by_endpoint = _grouped((each.model.endpoint_prefix, each) for each in services)
        self._by_target = {
            each.model.metadata["targetPrefix"]: each for each in services if "targetPrefix" in each.model.metadata
        }
        self._rest = tuple(each for each in services if each.protocol.startswith("rest-"))
        self._forms = tuple(each for each in services if each.protocol == "query")

    def identify(self, request: Request) -> ServiceModel | None:
        """The service, or None when nothing tells. Needs no body but for unsigned forms; never raises."""
        credential = credential_of(request)
        if credential is not None:
            signed = self._by_signing_name.get(credential.service, ())
            return signed[0] if len(signed) == 1 else self._among(signed, request)
        return self._among(self._services, request)

    def _among(self, candidates: Sequence[ServiceModel], request: Request) -> ServiceModel | None:
        if not candidates:
            return None
        # A form in the query is told before the path, which for S3 may be anything.
        form_first = "Action=" in request.query and request.path == "/"
        last = (self._form, self._path) if form_first else (self._path, self._form)
        for find in (self._target, self._host, *last):
            found = find(request)
            if found is not None and found in candidates:
                return found
        return None

    def _target(self, request: Request) -> ServiceModel | None:
        return self._by_target.get(request.headers.get("x-amz-target").rpartition(".")[0])

    def _host(self, request: Request) -> ServiceModel | None:
        label, dot, _ = request.headers.get("host").partition(".")
        named = self._by_endpoint.get(label.lower(), ()) if dot else ()
        return named[0] if len(named) == 1 else None

    def _path(self, request: Request) -> ServiceModel | None:
        """The match with most literal segments: S3's `/{Bucket}/{Key+}` matches anything."""
        best, best_literals = None, -1
        for service in self._rest:
            try:
                found = service.router.match(request.method, request.path, request.query, request.headers)
            except WireError:
                continue
            if found is not None and found[0].literals > best_literals:
                best, best_literals = service, found[0].literals
        return best

    def _form(self, request: Request) -> ServiceModel | None:
        if not self._forms:
            return None
        try:
            fields = form_fields(request)
        except WireError:
            return None
        for service in self._forms:
            if fields.get("Version") == service.model.api_version and fields.get("Action") in service.plans:
                return service
        return None


def _grouped(pairs: Iterable[tuple[str, ServiceModel]]) -> dict[str, tuple[ServiceModel, ...]]:
    groups: dict[str, tuple[ServiceModel, ...]] = {}
    for key, service in pairs:
        groups[key] = (*groups.get(key, ()), service)
    return groups
