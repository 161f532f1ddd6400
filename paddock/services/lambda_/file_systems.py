"""FileSystemConfigs: which of the operator's directories a function mounts (docs/networks.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from paddock.model.errors import InvalidParameterValue
from paddock.model.function import FileSystemUse


def file_systems_of(
    params: Mapping[str, Any], known: Collection[str], *, is_in_vpc: bool, mounted: Collection[FileSystemUse] = ()
) -> tuple[FileSystemUse, ...] | None:
    """What a request's FileSystemConfigs comes to; None when it has none, which leaves things as they are.

    known: the arns that the operator allows. is_in_vpc: whether the function is in a network once the request is done.
    mounted: what it has so far.
    Raises InvalidParameterValue.
    """
    sent = params.get("FileSystemConfigs")
    if not is_in_vpc and (mounted if sent is None else sent):
        raise InvalidParameterValue("FileSystemConfigs needs a VpcConfig: a function mounts from within its VPC.")
    if sent is None:
        return None
    for one in sent:
        if one["Arn"] not in known:
            raise InvalidParameterValue(f"The access point {one['Arn']} does not exist.")
        if one["LocalMountPath"].removeprefix("/mnt/") in (".", ".."):
            raise InvalidParameterValue("LocalMountPath must name a directory below /mnt.")
    return tuple(FileSystemUse(arn=one["Arn"], mount_path=one["LocalMountPath"]) for one in sent)
