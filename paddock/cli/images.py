"""`paddock images`: which container images a running server has pulled, for which functions; forgetting the others."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from paddock.cli.columns import columns

PATH = "/_paddock/images"
TIMEOUT_S = 60
ANSWER_BYTES_MAX = 64 << 20
_DIGITS = 12  # of a digest, which tell images apart well enough
_UNITS = ("B", "kB", "MB", "GB", "TB")


class CannotAsk(Exception):
    """Nobody answers at the endpoint, or not as Paddock does. The message says what to do."""


def listed(endpoint: str, as_json: bool) -> str:
    """Raises CannotAsk."""
    images = _ask(endpoint, PATH)["images"]
    if as_json:
        return json.dumps(images, indent=2)
    rows = [["REFERENCE", "DIGEST", "SIZE", "SHARED", "FUNCTIONS"]]
    for one in images:
        functions = [arn.partition(":function:")[2] for arn in one["functions"]]
        digest = one["digest"].removeprefix("sha256:")[:_DIGITS]
        sizes = [size(one["size_bytes"]), size(one["shared_bytes"])]
        rows.append([one["reference"], digest, *sizes, " ".join(functions) or "none (see `paddock images prune`)"])
    return "\n".join(columns(rows)) if images else "No image was pulled."


def pruned(endpoint: str) -> str:
    """Raises CannotAsk."""
    told = _ask(endpoint, PATH + "/prune")
    lines = [f"removed {name}" for name in told["removed"]]
    return "\n".join([*lines, f"{size(told['freed_bytes'])} freed"])


def size(count: int) -> str:
    """As people read it: 12.3 MB."""
    value, unit = float(count), 0
    while value >= 1000 and unit + 1 < len(_UNITS):
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} B"


def _ask(endpoint: str, path: str) -> dict[str, Any]:
    url = endpoint.rstrip("/") + path
    if not url.startswith(("http://", "https://")):
        raise CannotAsk(f"{endpoint} is not an http address; it looks like http://127.0.0.1:4566.")
    # Without proxies: the server is local, whatever the environment says about the rest of the world.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=b"", method="POST"), timeout=TIMEOUT_S) as answer:
            told: dict[str, Any] = json.loads(answer.read(ANSWER_BYTES_MAX))
            return told
    except urllib.error.HTTPError as error:
        error.close()
        raise CannotAsk(f"{url} answers {error.code}: it is something else, or an older Paddock.") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise CannotAsk(f"Nobody answers at {url} ({reason}). Start it with: paddock up") from None
    except ValueError:
        raise CannotAsk(f"{url} does not answer JSON: something else listens there.") from None
