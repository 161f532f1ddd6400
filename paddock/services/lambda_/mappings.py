"""Event source mappings: CreateEventSourceMapping and its four siblings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.control.mappings import MappingChange
from paddock.model.arn import parse_function_ref
from paddock.model.errors import InvalidParameterValue, NotYet
from paddock.model.event_source import EventSourceMapping
from paddock.services.lambda_ import markers
from paddock.services.lambda_.desk import Desk
from paddock.services.lambda_.settings import refuse_others
from paddock.services.service import Call, Params

PAGE_MAX = 100
_CHANGEABLE = frozenset(
    {
        "FunctionName",
        "Enabled",
        "BatchSize",
        "MaximumBatchingWindowInSeconds",
        "FilterCriteria",
        "ScalingConfig",
        "FunctionResponseTypes",
        "UUID",
        "EventSourceArn",
        "Tags",
    }
)
# What a queue has no use for: AWS refuses these by name.
_OF_STREAMS = (
    "StartingPosition",
    "StartingPositionTimestamp",
    "ParallelizationFactor",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "TumblingWindowInSeconds",
    "DestinationConfig",
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
)


async def create_event_source_mapping(desk: Desk, call: Call) -> Params:
    params = call.params
    if "SelfManagedEventSource" in params:
        raise NotYet("SelfManagedEventSource (Apache Kafka) is not supported by Paddock yet.")
    if not params.get("EventSourceArn"):
        raise InvalidParameterValue("Unrecognized event source.")
    if params["EventSourceArn"].split(":")[2:3] == ["sqs"]:
        _refuse(params)
    created = await desk.mappings.create(
        call.caller.account,
        call.caller.region,
        params["EventSourceArn"],
        _change_of(params),
        params.get("Tags") or {},
    )
    return view(created)


async def get_event_source_mapping(desk: Desk, call: Call) -> Params:
    return view(desk.mappings.get(call.caller.account, call.caller.region, call.params["UUID"]))


async def list_event_source_mappings(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    name = params.get("FunctionName")
    page = desk.mappings.page(
        caller.account,
        caller.region,
        source_arn=params.get("EventSourceArn") or "",
        function_arn=parse_function_ref(name, account=caller.account, region=caller.region).arn if name else "",
        after=markers.read(params.get("Marker") or ""),
        items_max=min(params.get("MaxItems") or PAGE_MAX, PAGE_MAX),
    )
    listed = {"EventSourceMappings": [view(mapping) for mapping in page.mappings]}
    return {**listed, "NextMarker": markers.written(page.mappings[-1].uuid)} if page.more else listed


async def update_event_source_mapping(desk: Desk, call: Call) -> Params:
    desk.mappings.get(call.caller.account, call.caller.region, call.params["UUID"])
    _refuse(call.params)
    updated = await desk.mappings.update(
        call.caller.account, call.caller.region, call.params["UUID"], _change_of(call.params)
    )
    return view(updated)


async def delete_event_source_mapping(desk: Desk, call: Call) -> Params:
    return view(await desk.mappings.delete(call.caller.account, call.caller.region, call.params["UUID"]))


def _refuse(params: Mapping[str, Any]) -> None:
    """What a queue's mapping may not say, as AWS refuses it; and what Paddock does not do yet."""
    for name in _OF_STREAMS:
        if params.get(name) not in (None, [], {}, {"OnFailure": {}}):
            raise InvalidParameterValue(f"Unsupported {name} parameter for given event source mapping type.")
    refuse_others({name: value for name, value in params.items() if name not in _OF_STREAMS}, _CHANGEABLE)


def _change_of(params: Mapping[str, Any]) -> MappingChange:
    scaling = params.get("ScalingConfig")
    criteria = params.get("FilterCriteria")
    answers = params.get("FunctionResponseTypes")
    return MappingChange(
        function=params.get("FunctionName"),
        enabled=params.get("Enabled"),
        batch_size=params.get("BatchSize"),
        window_s=params.get("MaximumBatchingWindowInSeconds"),
        filters=None if criteria is None else tuple(one.get("Pattern") or "" for one in criteria.get("Filters") or ()),
        maximum_concurrency=None if scaling is None else scaling.get("MaximumConcurrency") or 0,
        partial=None if answers is None else "ReportBatchItemFailures" in answers,
    )


def view(mapping: EventSourceMapping) -> dict[str, Any]:
    """As AWS shows a queue's mapping (spec 01 §10)."""
    shown: dict[str, Any] = {
        "UUID": mapping.uuid,
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.window_s,
        "EventSourceArn": mapping.source_arn,
        "FunctionArn": mapping.function_arn,
        "LastModified": mapping.last_modified,
        "State": mapping.state.value,
        "StateTransitionReason": "USER_INITIATED",
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if mapping.partial else [],
        "EventSourceMappingArn": mapping.arn,
    }
    if mapping.filters:
        shown["FilterCriteria"] = {"Filters": [{"Pattern": text} for text in mapping.filters]}
    if mapping.maximum_concurrency is not None:
        shown["ScalingConfig"] = {"MaximumConcurrency": mapping.maximum_concurrency}
    return shown
