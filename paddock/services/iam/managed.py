"""AWS's own policies (arn:aws:iam::aws:policy/...): those that functions' roles commonly name, as data.

The documents are AWS's, in the version said; earlier versions are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files

from paddock.observe.invocation_log import epoch_ms
from paddock.services.iam.nouns import ManagedPolicy, PolicyVersion

AWS_PREFIX = "arn:aws:iam::aws:policy/"


def load_managed() -> Mapping[str, ManagedPolicy]:
    """ARN -> policy, from managed_policies.json. Reads a file: call once, when the Desk is made."""
    text = (files("paddock.services.iam") / "managed_policies.json").read_text(encoding="utf-8")
    found = {}
    for entry in json.loads(text):
        arn = f"{AWS_PREFIX}{entry['path'][1:]}{entry['name']}"
        number = int(entry["version"][1:])
        created, updated = (epoch_ms(datetime.fromisoformat(entry[name])) for name in ("created", "updated"))
        version = PolicyVersion(number=number, document=json.dumps(entry["document"]), created_ms=updated)
        found[arn] = ManagedPolicy(
            name=entry["name"],
            arn=arn,
            path=entry["path"],
            policy_id=entry["policy_id"],
            description=entry["description"],
            default_version=number,
            next_version=number + 1,
            created_ms=created,
            updated_ms=updated,
            versions=(version,),
        )
    return found
