"""Functions whose execution environments are never shared by two tenants.

An environment serves one version for one tenant: the tenant is part of what it may be reused for (FunctionVersion.
environment_key), so it is never found for another, whatever the pool decides.
"""

from __future__ import annotations

from dataclasses import replace

from paddock.model.errors import InvalidParameterValue
from paddock.model.function import FunctionVersion

PER_TENANT = "PER_TENANT"


def for_tenant(version: FunctionVersion, tenant_id: str) -> FunctionVersion:
    """The version as it runs for that tenant ("" for none). Raises InvalidParameterValue when these do not fit."""
    if version.tenant_isolation and not tenant_id:
        raise InvalidParameterValue(
            "Add a valid tenant ID in your request. The invoked function is enabled with tenant isolation."
        )
    if tenant_id and not version.tenant_isolation:
        raise InvalidParameterValue(
            "The invoked function is not enabled with tenant isolation. "
            "Remove the tenant ID from your request and try again."
        )
    return replace(version, tenant_id=tenant_id) if tenant_id else version
