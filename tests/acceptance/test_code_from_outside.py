"""Code of functions and layers from an S3 that stands outside (the setting s3_endpoint): here, another Paddock's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import refused
from tests.support.server import ROLE, RunningServer, default_runtime, zipped

SOURCE = "def handler(event, context):\n    return '{}'\n"
FIXED = {"Runtime": default_runtime(), "Handler": "app.handler", "Role": ROLE}


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, server: RunningServer) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("inside"), s3_endpoint=server.endpoint) as running:
        yield running


def test_code_comes_from_the_other_side(server: RunningServer, inside: RunningServer) -> None:
    outside = server.client("s3")
    outside.create_bucket(Bucket="deployments")
    outside.put_bucket_versioning(Bucket="deployments", VersioningConfiguration={"Status": "Enabled"})
    first = outside.put_object(Bucket="deployments", Key="a/f.zip", Body=zipped({"app.py": SOURCE.format("one")}))
    outside.put_object(Bucket="deployments", Key="a/f.zip", Body=zipped({"app.py": SOURCE.format("two")}))
    client = inside.client("lambda")
    code = {"S3Bucket": "deployments", "S3Key": "a/f.zip"}
    client.create_function(FunctionName="f", Code={**code, "S3ObjectVersion": first["VersionId"]}, **FIXED)
    wait(client, "function_active_v2")
    assert inside.invoke("f")[0] == "one"
    client.update_function_code(FunctionName="f", **code)
    wait(client, "function_updated_v2")
    assert inside.invoke("f")[0] == "two"
    assert client.publish_layer_version(LayerName="l", Content=code)["Version"] == 1
    told = "^Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: "
    for source, error in (
        ({"S3Bucket": "nowhere-at-all", "S3Key": "k"}, "NoSuchBucket"),
        ({"S3Bucket": "deployments", "S3Key": "k"}, "NoSuchKey"),
        ({**code, "S3ObjectVersion": "0" * 32}, "NoSuchVersion"),
    ):
        with refused("InvalidParameterValueException", told.format(error), 400):
            client.create_function(FunctionName="g", Code=source, **FIXED)
    # Paddock's own S3 stays what it is; it is only not where code comes from.
    inside.client("s3").create_bucket(Bucket="own")
    with refused("InvalidParameterValueException", told.format("NoSuchBucket"), 400):
        client.create_function(FunctionName="g", Code={"S3Bucket": "own", "S3Key": "k"}, **FIXED)


def test_a_zip_of_more_than_50_mb_comes_from_s3(server: RunningServer) -> None:
    """Fifty megabytes bound what is sent along; an object only what it unpacks to (spec 01 section 4)."""
    content = zipped({"app.py": SOURCE.format("large"), "noise.bin": os.urandom(52_500_000)})
    source = {"S3Bucket": "large-deployments", "S3Key": "large.zip"}
    server.client("s3").create_bucket(Bucket=source["S3Bucket"])
    server.client("s3").put_object(Bucket=source["S3Bucket"], Key=source["S3Key"], Body=content)
    client = server.client("lambda")
    client.create_function(FunctionName="large-from-s3", Code=source, **FIXED)
    wait(client, "function_active_v2", "large-from-s3")
    assert server.invoke("large-from-s3")[0] == "large"
    layer = client.publish_layer_version(LayerName="large-from-s3", Content=source)
    assert layer["Content"]["CodeSize"] == len(content)


def test_an_endpoint_that_does_not_answer(tmp_path: Path) -> None:
    code = {"S3Bucket": "deployments", "S3Key": "k"}
    told = "S3 Error Code: ServiceUnavailable.*does not answer"
    with RunningServer(tmp_path, s3_endpoint="http://127.0.0.1:9") as alone:
        client = alone.client("lambda")
        with refused("InvalidParameterValueException", told, 400):
            client.create_function(FunctionName="f", Code=code, **FIXED)


def wait(client: Any, waiter: str, function: str = "f") -> None:
    client.get_waiter(waiter).wait(FunctionName=function, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
