"""What Lambda's operations may ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddock.control.catalogue import Catalogue
from paddock.control.code_signing import CodeSigning
from paddock.control.event_invokes import EventInvokes
from paddock.control.keys import Keys
from paddock.control.mappings import Mappings
from paddock.control.permissions import Permissions
from paddock.control.provisioned import ProvisionedConcurrency
from paddock.control.urls import Urls
from paddock.interfaces import Clock, Ids, Images, ObjectReader
from paddock.invoke.asynchronous import Asynchronous
from paddock.invoke.dispatcher import Dispatcher
from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.quotas import Quotas
from paddock.services.service import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """code_url: where the zip with a digest can be downloaded (GetFunction's Code.Location).
    url_address: of a function URL, by its id and region.

    sends_to: whether events can be sent to resources such as an ARN names.
    architecture: this machine's, x86_64 or arm64. runtimes: what the fleet can start. modelled_runtimes: the
    service model's enum of runtimes, from which an unknown one is told apart from one that is only missing here.
    networks: what functions may join, as config.Networks gives them. file_systems: arns of what they may mount.
    runtime_version_arn: of a runtime's current version in a region; "" for one that is not here.
    """

    catalogue: Catalogue
    provisioned: ProvisionedConcurrency
    permissions: Permissions
    signing: CodeSigning
    event_invokes: EventInvokes
    urls: Urls
    keys: Keys
    dispatcher: Dispatcher
    mappings: Mappings
    asynchronous: Asynchronous
    sends_to: Callable[[str], bool]
    objects: ObjectReader
    images: Images
    clock: Clock
    ids: Ids
    quotas: Quotas
    architecture: str
    runtimes: Callable[[], Sequence[str]]
    modelled_runtimes: Sequence[str]
    code_url: Callable[[str], str]
    url_address: Callable[[str, str], str]
    networks: Sequence[Mapping[str, Any]] = ()
    file_systems: Collection[str] = ()
    runtime_version_arn: Callable[[str, str], str]


def ref_of(call: Call, name: str = "FunctionName") -> FunctionRef:
    """The function a call names, with its Qualifier. Raises as parse_function_ref does."""
    return parse_function_ref(
        call.params[name],
        account=call.caller.account,
        region=call.caller.region,
        qualifier=call.params.get("Qualifier", ""),
    )
