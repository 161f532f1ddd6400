"""What can go wrong between bytes and parameters.

    WireError
    |-- UnknownOperation     no operation of the service answers this method, path, target or action
    |-- Malformed            the request can not be read as the operation's input
    `-- SignatureRefused     missing, incomplete, wrong, expired or foreign signature
    OutputDefect             ours: an answer that the service model does not know; never the caller's fault

`front` renders WireErrors as the service would; an OutputDefect is an internal error.
"""

from __future__ import annotations


class WireError(Exception):
    """code: as AWS spells it. status: HTTP. message: safe to show to the caller."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class UnknownOperation(WireError):
    """AWS answers 404 over REST, 400 elsewhere; the query protocol calls it InvalidAction."""

    def __init__(self, message: str, *, code: str = "UnknownOperationException", status: int = 404) -> None:
        super().__init__(message, code=code, status=status)


class Malformed(WireError):
    """Wrong types, broken JSON, XML or forms. The query protocol calls it MalformedInput."""

    def __init__(self, message: str, *, code: str = "SerializationException", status: int = 400) -> None:
        super().__init__(message, code=code, status=status)


class SignatureRefused(WireError):
    """Spec 06 §4: always 403."""

    def __init__(self, message: str, *, code: str = "InvalidSignatureException", status: int = 403) -> None:
        super().__init__(message, code=code, status=status)


class OutputDefect(RuntimeError):
    """A service returned a member or a type that its output shape does not have."""
