"""`paddock health`: one GET, one line, one exit status."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_S = 5
ANSWER_BYTES_MAX = 65_536


class Unhealthy(Exception):
    """Nobody answers at the endpoint, or not as Paddock does. The message says what to do."""


def ask(endpoint: str) -> str:
    """What the server says of itself, as indented JSON. Raises Unhealthy."""
    return json.dumps(document(endpoint), indent=2)


def document(endpoint: str) -> dict[str, Any]:
    """What the server says of itself. Raises Unhealthy."""
    url = endpoint.rstrip("/") + "/health"
    if not url.startswith(("http://", "https://")):
        raise Unhealthy(f"{endpoint} is not an http address; it looks like http://127.0.0.1:4566.")
    # Without proxies: the server is local, whatever the environment says about the rest of the world.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            said: dict[str, Any] = json.loads(answer.read(ANSWER_BYTES_MAX))
            return said
    except urllib.error.HTTPError as error:
        error.close()
        raise Unhealthy(f"{url} answers {error.code}: it is something else, or still starting.") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise Unhealthy(f"Nobody answers at {url} ({reason}). Start it with: paddock up") from None
    except ValueError:
        raise Unhealthy(f"{url} does not answer JSON: something else listens there.") from None
