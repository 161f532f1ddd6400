"""Publishing and listing versions. Reading, invoking and deleting one is what the function's operations do."""

from __future__ import annotations

from paddock.model.function import FunctionVersion
from paddock.services.lambda_ import markers, view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.settings import refuse_others
from paddock.services.service import Call, Params

_HONOURED = frozenset({"FunctionName", "CodeSha256", "Description", "RevisionId"})


async def publish_version(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _HONOURED)
    version = await desk.catalogue.publish_version(
        ref_of(call),
        description=params.get("Description"),
        code_sha256=params.get("CodeSha256", ""),
        revision_id=params.get("RevisionId", ""),
    )
    return view.configuration(version, version.version_arn)


async def list_versions_by_function(desk: Desk, call: Call) -> Params:
    params = call.params
    page = desk.catalogue.list_versions(
        ref_of(call), after=markers.read_number(params.get("Marker", "")), items_max=params.get("MaxItems")
    )
    listed = [view.listed(version, version.version_arn) for version in page.versions]
    if not page.more:
        return {"Versions": listed}
    return {"Versions": listed, "NextMarker": markers.written(str(number_of(page.versions[-1])))}


def number_of(version: FunctionVersion) -> int:
    """Its place among the versions of its function: $LATEST is 0 and stands first."""
    return int(version.version) if version.version.isdecimal() else 0
