"""A service at an external, AWS-compatible endpoint, called by its operations: botocore is the client, in threads.

A long poll holds its thread for up to 20 seconds, so each call has a thread of its own, which ends with the process
without being waited for. Repeating is left to the caller, who knows what may be repeated.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from paddock.model.errors import ServiceError

T = TypeVar("T")

THREADS_MAX = 256
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 40


class AwsApi:
    """event_sources.sqs.Api, and the like. account is not sent: the credentials say whose request it is."""

    def __init__(self, service: str, *, endpoint: str, access_key_id: str, secret_access_key: str) -> None:
        self._service = service
        self._endpoint = endpoint
        self._keys = (access_key_id, secret_access_key)
        self._session = Session()
        self._clients: dict[str, BaseClient] = {}
        self._lock = asyncio.Lock()
        self._free = asyncio.Semaphore(THREADS_MAX)

    async def __call__(
        self, operation: str, params: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:
        """Raises ServiceError, with code ServiceUnavailable when there is no answer at all."""
        try:
            async with self._lock:
                if region not in self._clients:
                    self._clients[region] = await self.in_thread(lambda: self._client(region))
            client = self._clients[region]
            answer: Mapping[str, Any] = await self.in_thread(lambda: client._make_api_call(operation, dict(params)))
        except ClientError as error:
            told = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            raise ServiceError(
                told.get("Message", ""),
                code=told.get("Code", "ServiceException"),
                status=status,
                fault="client" if status < 500 else "server",
            ) from error
        except BotoCoreError as error:
            raise ServiceError(
                f"{self._service} at {self._endpoint} does not answer: {error}", code="ServiceUnavailable", status=503
            ) from error
        return answer

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What `work` gives. Cancelled, it goes on in its thread and nobody hears of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def tell(outcome: Callable[[], None]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: None if future.done() else outcome())

        def run() -> None:
            try:
                value = work()
            except (ClientError, BotoCoreError, OSError) as error:
                failure = error
                tell(lambda: future.set_exception(failure))
            else:
                tell(lambda: future.set_result(value))

        async with self._free:
            threading.Thread(target=run, daemon=True, name=f"paddock-{self._service}").start()
            return await future

    def _client(self, region: str) -> BaseClient:
        return self._session.create_client(
            self._service,
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id=self._keys[0],
            aws_secret_access_key=self._keys[1],
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": 1},
                max_pool_connections=THREADS_MAX,
                s3={"addressing_style": "path"},  # an endpoint has one name, not one for each bucket
            ),
        )
