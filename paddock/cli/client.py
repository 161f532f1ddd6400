"""A client of a running Paddock for commands: botocore at our endpoint, and refusals that people can read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import botocore.config
import botocore.exceptions
import botocore.session

from paddock.config import Config

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 90_000
"""More than the longest that a function may take, and than a debugger may hold it."""

ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"


class Refused(Exception):
    """Nobody answers, or the server does not do it. The message says why. code: AWS's, or "" where nobody answers."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def endpoint_in(environ: Mapping[str, str], given: str | None) -> str:
    """Where the server listens: as given, as the environment says, or where Paddock is by default."""
    default = f"http://{Config().host}:{Config().port}"
    return given or environ.get(ENDPOINT_VARIABLE) or default


class Client:
    """Clients of services at one endpoint. region, account: as given, else as in the environment of AWS's tools."""

    def __init__(self, environ: Mapping[str, str], endpoint: str | None = None) -> None:
        self.endpoint = endpoint_in(environ, endpoint).rstrip("/")
        if not self.endpoint.startswith(("http://", "https://")):
            raise Refused(f"{self.endpoint} is not an http address; it looks like http://127.0.0.1:4566.")
        self.region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or Config().region
        self._keys = (environ.get("AWS_ACCESS_KEY_ID") or "test", environ.get("AWS_SECRET_ACCESS_KEY") or "test")
        self._token = environ.get("AWS_SESSION_TOKEN")
        # Nothing in the files of AWS's tools is about this server.
        nothing = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
        self._session = botocore.session.Session({**nothing, "profile": (None, None, None, None)})

    @property
    def account(self) -> str:
        """As the server sees it: an access key of 12 digits is an account."""
        key = self._keys[0]
        return key if len(key) == 12 and key.isdecimal() else Config().account

    def of(self, service: str) -> Any:
        return self._session.create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self._keys[0],
            aws_secret_access_key=self._keys[1],
            aws_session_token=self._token,
            config=botocore.config.Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": 1},
                proxies={},
                parameter_validation=False,
            ),
        )


@contextmanager
def telling(endpoint: str) -> Iterator[None]:
    """Errors of botocore become Refused."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        told = error.response.get("Error", {})
        code = str(told.get("Code", ""))
        message = told.get("Message") or error.response.get("message") or str(error)
        raise Refused(f"{code}: {message}" if code else str(message), code) from error
    except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError) as error:
        reason = error.kwargs.get("error", error)
        raise Refused(
            f"No answer from {endpoint} ({_short(reason)}). Start a server with `paddock up`, or name another by "
            f"--endpoint or {ENDPOINT_VARIABLE}."
        ) from error
    except botocore.exceptions.BotoCoreError as error:
        raise Refused(str(error)) from error


def _short(reason: object) -> str:
    """urllib3 tells the whole story; its end is what matters."""
    text = str(reason)
    return text.rpartition(": ")[2].rstrip(")'\" ") or text
