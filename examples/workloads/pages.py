"""A web page: {"n": rows} -> {"bytes": of the page, "digest": of it}."""

from __future__ import annotations

import hashlib
import html
from string import Template

PAGE = Template("<!doctype html><title>$title</title><table>$rows</table>")
ROW = Template("<tr><td>$number</td><td>$name</td></tr>")


def handler(event: dict[str, int], context: object) -> dict[str, object]:
    rows = "".join(ROW.substitute(number=i, name=html.escape(f"<row & {i}>")) for i in range(event["n"]))
    page = PAGE.substitute(title="A table", rows=rows).encode()
    return {"bytes": len(page), "digest": hashlib.sha256(page).hexdigest()}
