"""A service at an external, AWS-compatible endpoint, called by its operations: botocore is the client, in threads.

A long poll holds its thread for up to 20 seconds, so the calls have threads of their own. Repeating is left to the
caller, who knows what may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from paddock.model.errors import ServiceError

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
        self._threads = ThreadPoolExecutor(max_workers=THREADS_MAX, thread_name_prefix=f"paddock-{service}")

    async def __call__(
        self, operation: str, params: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:
        """Raises ServiceError, with code ServiceUnavailable when there is no answer at all."""
        loop = asyncio.get_running_loop()
        try:
            async with self._lock:
                if region not in self._clients:
                    self._clients[region] = await loop.run_in_executor(self._threads, self._client, region)
            client = self._clients[region]
            answer: Mapping[str, Any] = await loop.run_in_executor(
                self._threads, client._make_api_call, operation, dict(params)
            )
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

    def close(self) -> None:
        """Waits for no call: what is under way ends with the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)

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
            ),
        )
