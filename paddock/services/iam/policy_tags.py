"""Tags of a customer's own policies; AWS's have none and take none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from paddock.interfaces import Tx
from paddock.services.iam import view
from paddock.services.iam.desk import Desk, page_of_all, tags_from
from paddock.services.iam.policies import own_policy, policy_there
from paddock.services.service import Call

Tags = Mapping[str, str]


async def tag_policy(desk: Desk, call: Call) -> None:
    await _change(desk, call, lambda tags: tags_from(call.params["Tags"], tags))


async def untag_policy(desk: Desk, call: Call) -> None:
    gone = {key.lower() for key in call.params["TagKeys"]}
    await _change(desk, call, lambda tags: {key: value for key, value in tags.items() if key.lower() not in gone})


async def list_policy_tags(desk: Desk, call: Call) -> dict[str, Any]:
    policy = await desk.store.read(lambda tx: policy_there(tx, desk, call, call.params["PolicyArn"]))
    tags, more = page_of_all(call, sorted(view.tags(policy.tags), key=lambda tag: tag["Key"]), lambda tag: tag["Key"])
    return {"Tags": list(tags), **more}


async def _change(desk: Desk, call: Call, changed: Callable[[Tags], Tags]) -> None:
    def work(tx: Tx) -> None:
        policy = own_policy(tx, desk, call)
        tags = json.dumps(changed(policy.tags))
        tx.run("iam_policy_set_tags", account=call.caller.account, arn=policy.arn, tags=tags)

    await desk.store.write(work)
