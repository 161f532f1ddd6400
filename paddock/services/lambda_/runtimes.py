"""May a function have this runtime? Three different answers for "no": unknown, retired, missing on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from paddock.model.errors import InvalidParameterValue

# In the service model's enum, but AWS blocks creating and updating (runtimes page of the developer guide).
DEPRECATED = frozenset(
    {
        "nodejs",
        "nodejs4.3",
        "nodejs4.3-edge",
        "nodejs6.10",
        "nodejs8.10",
        "nodejs10.x",
        "nodejs12.x",
        "nodejs14.x",
        "nodejs16.x",
        "java8",
        "python2.7",
        "python3.6",
        "python3.7",
        "dotnetcore1.0",
        "dotnetcore2.0",
        "dotnetcore2.1",
        "dotnetcore3.1",
        "go1.x",
        "ruby2.5",
        "ruby2.7",
        "provided",
    }
)


def check_runtime(runtime: str, *, available: Sequence[str], modelled: Sequence[str]) -> None:
    """Raises InvalidParameterValue."""
    if runtime in available:
        return
    if runtime in DEPRECATED:
        raise InvalidParameterValue(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda "
            "functions. We recommend you use a supported runtime while creating or updating functions."
        )
    if runtime not in modelled:
        allowed = ", ".join(name for name in modelled if name not in DEPRECATED)
        raise InvalidParameterValue(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{allowed}] or be a valid ARN"
        )
    raise InvalidParameterValue(
        f"The runtime {runtime} is not available on this machine. Available: {', '.join(available) or 'none'}. "
        "`paddock runtimes` shows how to add it."
    )
