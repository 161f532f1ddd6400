"""A function with tenants, really run: what one leaves behind the other never finds."""

from __future__ import annotations

from tests.support.server import RunningServer

SOURCE = """
import os
seen = []
def handler(event, context):
    seen.append(context.tenant_id)
    if not os.path.exists("/tmp/mine"):
        with open("/tmp/mine", "w") as file:
            file.write(context.tenant_id)
    with open("/tmp/mine") as file:
        return {"seen": seen, "file": file.read()}
"""


def test_tenants_never_share_an_environment(server: RunningServer, name: str) -> None:
    server.create(name, SOURCE, TenancyConfig={"TenantIsolationMode": "PER_TENANT"})
    for tenant, times in (("blue", 1), ("green", 1), ("blue", 2), ("green", 2)):
        result, _ = server.invoke(name, TenantId=tenant)
        assert result == {"seen": [tenant] * times, "file": tenant}
