"""What polls for functions: event source mappings and their sources."""

from __future__ import annotations

from dataclasses import dataclass

from paddock.app.functions import Functions
from paddock.app.ground import Foundation
from paddock.backends.aws.api import AwsApi
from paddock.backends.aws.objects import AwsObjects
from paddock.config import Config
from paddock.control.mappings import Mappings
from paddock.event_sources.invoking import FunctionInvoker
from paddock.event_sources.poller import Supervisor
from paddock.event_sources.sqs import Api, GivingBack, SqsSource, SqsSources
from paddock.interfaces import Ids, ObjectReader
from paddock.services import sqs
from paddock.services.service import InProcess, Mount
from paddock.wire.service import load_service


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The catalogue of event source mappings, and what polls for them."""

    mappings: Mappings
    pollers: Supervisor

    @classmethod
    def of(cls, config: Config, on: Foundation, functions: Functions, queues: sqs.Desk) -> Sources:
        sqs_api = _sqs_api(config, queues, on.ids)
        mappings = Mappings(
            store=on.store,
            catalogue=functions.catalogue,
            sources=SqsSources(sqs_api),
            clock=on.clock,
            ids=on.ids,
            quotas=on.quotas,
        )
        pollers = Supervisor(
            mappings=mappings,
            source_of=lambda mapping: SqsSource(
                mapping, sqs_api, on.clock, lambda: mappings.function_timeout_s(mapping)
            ),
            invoker=FunctionInvoker(functions.catalogue, functions.dispatcher, on.clock, on.ids),
            clock=on.clock,
        )
        return cls(mappings=mappings, pollers=pollers)


def _sqs_api(config: Config, desk: sqs.Desk, ids: Ids) -> Api:
    """The SQS that event source mappings read from: Paddock's own, unless another is named."""
    if not config.sqs_endpoint:
        return InProcess(Mount(sqs.SERVICE, desk), load_service("sqs").operation_names, ids.uuid)
    outside = AwsApi(
        "sqs",
        endpoint=config.sqs_endpoint,
        access_key_id=config.external_access_key_id,
        secret_access_key=config.external_secret_access_key,
    )
    return GivingBack(outside)


def objects(config: Config, own: ObjectReader) -> ObjectReader:
    """Where code that is named by bucket and key comes from: Paddock's own S3, unless another is named."""
    if not config.s3_endpoint:
        return own
    outside = AwsApi(
        "s3",
        endpoint=config.s3_endpoint,
        access_key_id=config.external_access_key_id,
        secret_access_key=config.external_secret_access_key,
    )
    return AwsObjects(outside, config.region)
