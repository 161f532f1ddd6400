"""Functions that are container images: what they may not have, what they set over their image, and how they are shown.

Texts are AWS's where they are known (spec 01 section 4.1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from paddock.model.errors import InvalidParameterValue
from paddock.model.function import FunctionVersion
from paddock.model.image import BadImage, ContainerImage, ImageConfig

NOT_OF_IMAGES = ("Runtime", "Handler", "Layers")
Resolve = Callable[[str, str], Awaitable[ContainerImage]]


def is_image(params: Mapping[str, Any]) -> bool:
    """Whether CreateFunction asks for one. Raises InvalidParameterValue for what does not go together."""
    code = params["Code"]
    uri = code.get("ImageUri")
    if params.get("PackageType") != "Image":
        if uri is not None:
            raise InvalidParameterValue("Please don't provide ImageUri when creating a function with packageType Zip.")
        _check_zip(params)
        return False
    if not uri:
        raise InvalidParameterValue("Please provide ImageUri when creating a function with packageType Image.")
    if len(code) > 1:
        raise InvalidParameterValue("Please do not provide other FunctionCode parameters when providing an ImageUri.")
    _check_image(params)
    return True


def check_settings(params: Mapping[str, Any], version: FunctionVersion) -> None:
    """Of UpdateFunctionConfiguration. Raises InvalidParameterValue."""
    if version.image is None:
        _check_zip(params)
    else:
        _check_image(params)


def _check_image(params: Mapping[str, Any]) -> None:
    if any(params.get(name) for name in NOT_OF_IMAGES):
        raise InvalidParameterValue("Please don't provide handler or runtime or layer when the package type is Image.")
    if params.get("CodeSigningConfigArn"):
        raise InvalidParameterValue("Code signing is not supported for functions created with container images.")


def _check_zip(params: Mapping[str, Any]) -> None:
    if any((params.get("ImageConfig") or {}).values()):
        raise InvalidParameterValue("Please don't provide ImageConfig when the package type is Zip.")


async def found(resolve: Resolve, uri: str, architecture: str) -> ContainerImage:
    """What the reference names. Raises InvalidParameterValue."""
    try:
        return await resolve(uri, architecture)
    except BadImage as error:
        raise InvalidParameterValue(error.message) from error


def config_of(params: Mapping[str, Any]) -> ImageConfig | None:
    """None where a request says nothing of it; an empty one resets all."""
    sent = params.get("ImageConfig")
    if sent is None:
        return None
    return ImageConfig(
        entry_point=tuple(sent.get("EntryPoint") or ()),
        command=tuple(sent.get("Command") or ()),
        working_directory=sent.get("WorkingDirectory") or "",
    )


def config_shown(version: FunctionVersion) -> dict[str, Any]:
    """ImageConfigResponse, of a version that sets anything."""
    config = version.image_config
    members = {
        "EntryPoint": list(config.entry_point),
        "Command": list(config.command),
        "WorkingDirectory": config.working_directory,
    }
    shown = {name: value for name, value in members.items() if value}
    return {"ImageConfigResponse": {"ImageConfig": shown}} if shown else {}


def code_shown(image: ContainerImage | None) -> dict[str, str]:
    """Code of GetFunction; nothing for a zip."""
    if image is None:
        return {}
    return {"RepositoryType": "ECR", "ImageUri": image.uri, "ResolvedImageUri": image.resolved_uri}
