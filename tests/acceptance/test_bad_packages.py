"""Bad input gets a clear error and loses nothing; what Paddock cannot do yet says so by name."""

from __future__ import annotations

import base64
import io
import json
import stat
import struct
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.support.calls import refused
from tests.support.server import ROLE, RunningServer, default_runtime, zipped

HANDLER = "def handler(event, context):\n    return 'fine'\n"
GOOD = zipped({"app.py": HANDLER})
CANNOT_UNZIP = "^Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "^Uploaded file must be a non-empty zip"
MB = 1 << 20


def archive(*entries: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(entry, content)
    return buffer.getvalue()


def link(name: str, target: str) -> bytes:
    return archive((name, target.encode()), mode=stat.S_IFLNK | 0o777)


def lying(size_bytes: int) -> bytes:
    """A zip of one file that inflates to far more than its directory declares."""
    honest = archive(("app.py", b"\0" * (8 * MB)))
    true, false = struct.pack("<L", 8 * MB), struct.pack("<L", size_bytes)
    assert honest.count(true) == 2  # in the local header and in the directory
    return honest.replace(true, false)


PACKAGES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "not a zip": (lambda: b"this is not a zip at all", CANNOT_UNZIP),
    "cut short": (lambda: GOOD[:-30], CANNOT_UNZIP),
    "broken inside": (lambda: GOOD[:40] + b"\xff\xff\xff" + GOOD[43:], CANNOT_UNZIP),
    "empty zip": (lambda: archive(), EMPTY),
    "only a directory": (lambda: archive(("folder/", b""), mode=stat.S_IFDIR | 0o755), EMPTY),
    "leads up": (lambda: archive(("../evil.py", b"x")), CANNOT_UNZIP),
    "leads up inside": (lambda: archive(("a/../../evil.py", b"x")), CANNOT_UNZIP),
    "absolute": (lambda: archive(("/etc/evil.py", b"x")), CANNOT_UNZIP),
    "backslash": (lambda: archive(("..\\evil.py", b"x")), CANNOT_UNZIP),
    "link out": (lambda: link("app.py", "../../etc/passwd"), CANNOT_UNZIP),
    "absolute link": (lambda: link("app.py", "/etc/passwd"), CANNOT_UNZIP),
    "device": (lambda: archive(("app.py", b""), mode=stat.S_IFCHR | 0o666), CANNOT_UNZIP),
    "declares a bomb": (
        lambda: archive(*[(f"{number}.bin", b"\0" * (50 * MB)) for number in range(5)], ("x", b"x")),
        "^Unzipped size must be smaller than 262144000 bytes$",
    ),
    "hides a bomb": (lambda: lying(10), CANNOT_UNZIP),
}


@pytest.fixture
def unchanged(aws: Any) -> Iterator[None]:
    """Whatever the test tries, the list of functions stays as it was."""

    def names() -> list[str]:
        pages = aws.get_paginator("list_functions").paginate()
        return [each["FunctionName"] for page in pages for each in page["Functions"]]

    before = names()
    yield
    assert names() == before


@pytest.fixture(scope="module")
def standing(server: RunningServer) -> str:
    """A function whose updates fail."""
    server.create("standing", HANDLER)
    return "standing"


def create(aws: Any, content: bytes = GOOD, **settings: Any) -> None:
    given = {"FunctionName": "bad", "Runtime": default_runtime(), "Handler": "app.handler", "Role": ROLE}
    aws.create_function(**{**given, "Code": {"ZipFile": content}, **settings})


@pytest.mark.parametrize("case", PACKAGES)
def test_a_bad_package(server: RunningServer, aws: Any, unchanged: None, standing: str, case: str) -> None:
    make, text = PACKAGES[case]
    content = make()
    with refused("InvalidParameterValueException", text, 400):
        create(aws, content)
    with refused("InvalidParameterValueException", text, 400):
        aws.update_function_code(FunctionName=standing, ZipFile=content)
    assert server.invoke(standing)[0] == "fine"


def test_more_than_50_mb_zipped(aws: Any, unchanged: None) -> None:
    """Base64 in JSON makes 52,428,801 bytes a body of 69.9 MB, just below the limit of requests."""
    with refused("RequestEntityTooLargeException", "^Zipped size must be smaller than 52428800 bytes$", 413):
        create(aws, b"\0" * (52_428_800 + 1))


def test_a_request_that_is_larger_than_any(aws: Any, unchanged: None) -> None:
    text = "^Request must be smaller than 70167211 bytes for the CreateFunction operation$"
    with refused("RequestEntityTooLargeException", text, 413):
        create(aws, b"\0" * 52_700_000)


SETTINGS: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "too little memory": (
        {"MemorySize": 127},
        "ValidationException",
        "'127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128",
    ),
    "too much memory": (
        {"MemorySize": 10241},
        "ValidationException",
        "'10241' at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240",
    ),
    "too long": (
        {"Timeout": 901},
        "ValidationException",
        "'901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900",
    ),
    "no time": ({"Timeout": 0}, "ValidationException", "at 'timeout' .* greater than or equal to 1"),
    "name of 65": (
        {"FunctionName": "n" * 65},
        "InvalidParameterValueException",
        "^1 validation error detected: Value 'n{65}' at 'functionName' failed to satisfy constraint: "
        "Member must have length less than or equal to 64$",
    ),
    "no role": ({"Role": "me"}, "ValidationException", "'me' at 'role' failed to satisfy constraint"),
    "unknown runtime": (
        {"Runtime": "python9.9"},
        "InvalidParameterValueException",
        r"^Value python9.9 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: \[",
    ),
    "retired runtime": (
        {"Runtime": "python3.7"},
        "InvalidParameterValueException",
        "^The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions",
    ),
    "absent runtime": (
        {"Runtime": "dotnet8"},
        "InvalidParameterValueException",
        "^The runtime dotnet8 is not available on this machine. Available: .*`paddock runtimes` shows how to add it.",
    ),
    "elsewhere": (
        {"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:bad"},
        "ResourceNotFoundException",
        r"^Functions from 'eu-west-1' are not reachable in this region \('us-east-1'\)$",
    ),
    "levels of text logs": (
        {"LoggingConfig": {"LogFormat": "Text", "ApplicationLogLevel": "DEBUG"}},
        "InvalidParameterValueException",
        'LogLevel is not supported when LogFormat is set to "Text"',
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_bad_setting(server: RunningServer, unchanged: None, case: str) -> None:
    settings, code, text = SETTINGS[case]
    blunt = server.client("lambda", parameter_validation=False)
    with refused(code, text):
        create(blunt, **settings)


def test_many_errors_are_told_at_once(server: RunningServer, unchanged: None) -> None:
    blunt = server.client("lambda", parameter_validation=False)
    with refused("ValidationException", "^2 validation errors detected: Value '.*; Value '"):
        create(blunt, MemorySize=1, Timeout=-1)


def test_a_bad_update_leaves_the_configuration(server: RunningServer, standing: str) -> None:
    blunt = server.client("lambda", parameter_validation=False)
    before = blunt.get_function_configuration(FunctionName=standing)
    with refused("ValidationException", "memorySize"):
        blunt.update_function_configuration(FunctionName=standing, MemorySize=127, Timeout=9)
    with refused("InvalidParameterValueException", "is not available on this machine"):
        blunt.update_function_configuration(FunctionName=standing, Runtime="nodejs22.x", Timeout=9)
    after = blunt.get_function_configuration(FunctionName=standing)
    del before["ResponseMetadata"], after["ResponseMetadata"]
    assert after == before


# -- not yet

UNSUPPORTED: Mapping[str, Mapping[str, Any]] = {
    "TracingConfig": {"TracingConfig": {"Mode": "Active"}},
}


@pytest.mark.parametrize("setting", UNSUPPORTED)
def test_a_setting_that_is_not_supported(aws: Any, unchanged: None, setting: str) -> None:
    with refused("NotImplementedException", f"^The setting {setting} is not supported by Paddock yet", 501):
        create(aws, **UNSUPPORTED[setting])


@pytest.mark.parametrize("setting", ["TracingConfig"])
def test_a_setting_that_is_not_supported_in_an_update(aws: Any, standing: str, setting: str) -> None:
    with refused("NotImplementedException", f"^The setting {setting} is not supported by Paddock yet", 501):
        aws.update_function_configuration(FunctionName=standing, **UNSUPPORTED[setting])


def test_code_from_an_object_that_is_not_there(aws: Any, standing: str) -> None:
    with refused("InvalidParameterValueException", "S3 Error Code: NoSuchBucket", 400):
        aws.update_function_code(FunctionName=standing, S3Bucket="no-such-bucket", S3Key="key")


def test_a_foreign_processor(aws: Any, unchanged: None, standing: str) -> None:
    here = aws.get_function_configuration(FunctionName=standing)["Architectures"]
    other = "arm64" if here == ["x86_64"] else "x86_64"
    with refused("NotImplementedException", f"Architectures .*{other}.* is not supported", 501):
        create(aws, Architectures=[other])


def test_an_operation_that_is_not_implemented(aws: Any) -> None:
    with refused("NotImplementedException", "ListCapacityProviders", 501):
        aws.list_capacity_providers()


@pytest.mark.parametrize(
    ("service", "method"),
    [("dynamodb", "list_tables"), ("kinesis", "list_streams"), ("stepfunctions", "list_state_machines")],
)
def test_a_service_that_is_not_implemented(server: RunningServer, service: str, method: str) -> None:
    client = server.client(service)
    with pytest.raises(client.exceptions.ClientError) as caught:
        getattr(client, method)()
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501, answer
    assert service in answer["Error"]["Message"].lower(), answer


# -- bodies that no SDK sends


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff\xfe", b'{"Code": {"ZipFile": "not base64!"}}', b'{"Timeout": "x"}']
)
def test_a_body_that_cannot_be_read(server: RunningServer, unchanged: None, body: bytes) -> None:
    request = urllib.request.Request(f"{server.endpoint}/2015-03-31/functions", data=body)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert answer.status == 400
        assert answer.headers["x-amzn-ErrorType"]
        assert json.load(answer)


def test_a_good_package_is_still_welcome(server: RunningServer, name: str) -> None:
    """After all that, as a check on the tests themselves: the same calls, with nothing wrong."""
    server.create(name, HANDLER, MemorySize=128, Timeout=900, Publish=False, Layers=[])
    assert server.invoke(name)[0] == "fine"
    assert base64.b64decode(server.client("lambda").get_function(FunctionName=name)["Configuration"]["CodeSha256"])
