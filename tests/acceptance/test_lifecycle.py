"""A function's life through boto3: created, read, listed, changed and deleted."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest

from tests.support.calls import TOOLBOX, refused, settled
from tests.support.server import ROLE, RunningServer, default_runtime, zipped

NOW = "The operation cannot be performed at this time. "
STALE = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve"


def says(text: str) -> bytes:
    return zipped({"app.py": f"def handler(event, context):\n    return {text!r}\n"})


def minimal(name: str, **more: Any) -> dict[str, Any]:
    given = {"FunctionName": name, "Runtime": default_runtime(), "Role": ROLE, "Handler": "app.handler"}
    return {**given, "Code": {"ZipFile": says("hi")}, **more}


def wait(aws: Any, name: str) -> None:
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})


def test_created_pending_then_active(aws: Any, name: str) -> None:
    package = says("hi")
    made = aws.create_function(**minimal(name, Code={"ZipFile": package}))
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
    assert made["StateReason"] == "The function is being created."
    assert "LastUpdateStatus" not in made
    assert made["FunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(package).digest()).decode()
    assert made["CodeSize"] == len(package)
    wait(aws, name)
    found = aws.get_function_configuration(FunctionName=name)
    assert (found["State"], found["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in found
    assert "StateReasonCode" not in found
    assert found["RevisionId"] != made["RevisionId"]
    uuid.UUID(found["RevisionId"])


def test_a_minimal_function_as_aws_renders_it(aws: Any, name: str) -> None:
    aws.create_function(**minimal(name))
    wait(aws, name)
    found = aws.get_function(FunctionName=name)
    shown = found["Configuration"]
    assert shown["Architectures"] in (["x86_64"], ["arm64"])
    expected = {
        "Description": "",
        "EphemeralStorage": {"Size": 512},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        "MemorySize": 128,
        "PackageType": "Zip",
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "Timeout": 3,
        "TracingConfig": {"Mode": "PassThrough"},
        "Version": "$LATEST",
    }
    assert {key: shown[key] for key in expected} == expected
    assert not {"Environment", "Layers", "DeadLetterConfig", "VpcConfig", "KMSKeyArn"} & set(shown)
    assert "Tags" not in found
    assert "Concurrency" not in found
    assert found["Code"]["RepositoryType"] == "S3"
    with urllib.request.urlopen(found["Code"]["Location"]) as package:
        assert package.read() == says("hi")


def test_the_same_function_by_all_its_names(aws: Any, name: str) -> None:
    made = aws.create_function(**minimal(name))
    wait(aws, name)
    for spelled in (name, f"function:{name}", f"000000000000:function:{name}", made["FunctionArn"]):
        assert aws.get_function_configuration(FunctionName=spelled)["FunctionName"] == name
    qualified = aws.get_function_configuration(FunctionName=name, Qualifier="$LATEST")
    assert qualified["FunctionArn"] == made["FunctionArn"] + ":$LATEST"
    assert aws.get_function_configuration(FunctionName=f"{name}:$LATEST")["FunctionArn"].endswith(":$LATEST")
    with refused("InvalidParameterValueException", "derived qualifier from the function name does not match"):
        aws.get_function_configuration(FunctionName=f"{name}:$LATEST", Qualifier="live")


def test_pages(server: RunningServer) -> None:
    aws = server.client("lambda", region="ap-south-1")
    names = [f"page-{number}" for number in range(5)]
    for each in names:
        aws.create_function(**minimal(each))
    first = aws.list_functions(MaxItems=2)
    assert len(first["Functions"]) == 2
    pages = list(aws.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Functions"]) for page in pages] == [2, 2, 1]
    assert "NextMarker" not in pages[-1]
    assert sorted(f["FunctionName"] for page in pages for f in page["Functions"]) == names
    assert not {"State", "LastUpdateStatus"} & set(pages[0]["Functions"][0])


@pytest.mark.parametrize("path", ["/2015-03-31/functions", "/2015-03-31/functions/"])
def test_both_spellings_of_a_path(server: RunningServer, aws: Any, name: str, path: str) -> None:
    aws.create_function(**minimal(name))
    listed: list[str] = []
    marker = ""
    while True:
        with urllib.request.urlopen(f"{server.endpoint}{path}?Marker={marker}") as answer:
            page = json.load(answer)
        listed += [each["FunctionName"] for each in page["Functions"]]
        marker = page.get("NextMarker")
        if not marker:
            break
    assert name in listed


def test_an_update_of_code_completes(server: RunningServer, aws: Any, name: str) -> None:
    before = server.create(name, {"app.py": "def handler(event, context):\n    return 'old'\n"})
    assert server.invoke(name)[0] == "old"
    begun = aws.update_function_code(FunctionName=name, ZipFile=says("new"))
    assert (begun["State"], begun["LastUpdateStatus"]) == ("Active", "InProgress")
    assert (begun["LastUpdateStatusReasonCode"], begun["LastUpdateStatusReason"]) == (
        "Creating",
        "The function is being created.",
    )
    done = settled(aws, name)
    assert done["LastUpdateStatus"] == "Successful"
    assert "LastUpdateStatusReason" not in done
    assert len({before["RevisionId"], begun["RevisionId"], done["RevisionId"]}) == 3
    assert server.invoke(name)[0] == "new"


def test_dry_run_of_an_update_changes_nothing(server: RunningServer, aws: Any, name: str) -> None:
    before = server.create(name, "def handler(event, context):\n    return 'old'\n")
    aws.update_function_code(FunctionName=name, ZipFile=says("new"), DryRun=True)
    assert aws.get_function_configuration(FunctionName=name)["CodeSha256"] == before["CodeSha256"]
    assert aws.get_function_configuration(FunctionName=name)["RevisionId"] == before["RevisionId"]
    assert server.invoke(name)[0] == "old"


def test_old_code_is_never_served_after_an_update(server: RunningServer, aws: Any, name: str) -> None:
    def package(number: int) -> dict[str, str]:
        return {"app.py": f"def handler(event, context):\n    return {number}\n"}

    server.create(name, package(0))
    floor, stop, wrong, seen = [0], threading.Event(), list[str](), set[int]()

    def keep_invoking() -> None:
        client = server.client("lambda")
        while not stop.is_set():
            at_least = floor[0]
            answer = client.invoke(FunctionName=name)
            result = json.loads(answer["Payload"].read())
            if "FunctionError" in answer or result < at_least:
                wrong.append(f"{result} after {at_least} had completed")
                return
            seen.add(result)

    threads = [threading.Thread(target=keep_invoking) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 11):
            aws.update_function_code(FunctionName=name, ZipFile=zipped(package(number)))
            settled(aws, name)
            floor[0] = number
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(seen) > 3  # else nothing was invoked meanwhile
    assert server.invoke(name)[0] == 10


def test_configuration_is_visible_inside(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, TOOLBOX, Environment={"Variables": {"GREETING": "hello", "GONE": "1"}})
    do = """
names = ("GREETING", "GONE", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
left = context.get_remaining_time_in_millis()
return [os.environ.get(name) for name in names], context.memory_limit_in_mb, left
"""
    (variables, memory, _), _ = server.invoke(name, {"do": do})
    assert (variables, memory) == (["hello", "1", "128"], "128")
    begun = aws.update_function_configuration(
        FunctionName=name,
        Environment={"Variables": {"GREETING": "grüß dich"}},
        Timeout=77,
        MemorySize=512,
        Description="changed",
    )
    assert begun["LastUpdateStatus"] == "InProgress"
    done = settled(aws, name)
    assert (done["Timeout"], done["MemorySize"], done["Description"]) == (77, 512, "changed")
    (variables, memory, left), _ = server.invoke(name, {"do": do})
    assert (variables, memory) == (["grüß dich", None, "512"], "512")
    assert 30_000 < left <= 77_000
    aws.update_function_configuration(FunctionName=name, Environment={"Variables": {}})
    assert settled(aws, name)["Environment"] == {"Variables": {}}
    assert done["Handler"] == "app.handler"


def test_revision_ids_guard_updates(server: RunningServer, aws: Any, name: str) -> None:
    before = server.create(name, {"app.py": TOOLBOX})
    stale = str(uuid.UUID(int=1))
    with refused("PreconditionFailedException", STALE, 412):
        aws.update_function_code(FunctionName=name, ZipFile=says("x"), RevisionId=stale)
    with refused("PreconditionFailedException", STALE, 412):
        aws.update_function_configuration(FunctionName=name, Timeout=5, RevisionId=stale)
    aws.update_function_configuration(FunctionName=name, Timeout=5, RevisionId=before["RevisionId"])
    settled(aws, name)
    with refused("PreconditionFailedException", STALE, 412):
        aws.update_function_configuration(FunctionName=name, Timeout=6, RevisionId=before["RevisionId"])


def test_two_updates_at_once(server: RunningServer, name: str) -> None:
    """Both are sent at the same moment, again and again, until one is told that the other is under way."""
    server.create(name, {"app.py": TOOLBOX})
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    clients = [server.client("lambda") for _ in range(4)]
    refusals: list[dict[str, Any]] = []
    accepted: list[int] = []
    for _ in range(20):
        together = threading.Barrier(len(clients))

        def update(client: Any, number: int, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                client.update_function_code(FunctionName=name, ZipFile=says(f"{number}"))
                accepted.append(number)
            except client.exceptions.ResourceConflictException as error:
                refusals.append(error.response)

        threads = [threading.Thread(target=update, args=(client, n)) for n, client in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settled(clients[0], name)
        if refusals:
            break
    assert refusals
    assert accepted
    assert refusals[0]["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert refusals[0]["Error"]["Message"] == f"{NOW}An update is in progress for resource: {arn}"


def test_created_twice(aws: Any, name: str) -> None:
    aws.create_function(**minimal(name))
    with refused("ResourceConflictException", f"^Function already exist: {name}$", 409):
        aws.create_function(**minimal(name))


def test_deleted(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, "def handler(event, context):\n    return 1\n")
    server.invoke(name)
    with refused("InvalidParameterValueException", "LATEST version cannot be deleted without deleting the function"):
        aws.delete_function(FunctionName=name, Qualifier="$LATEST")
    gone = aws.delete_function(FunctionName=name)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    with refused("ResourceNotFoundException", f"^Function not found: {arn}$", 404):
        aws.get_function(FunctionName=name)
    with refused("ResourceNotFoundException", f"^Function not found: {arn}$", 404):
        aws.delete_function(FunctionName=name)
    with refused("ResourceNotFoundException", rf"^Function not found: {arn}:\$LATEST$", 404):
        aws.invoke(FunctionName=name)
    server.create(name, "def handler(event, context):\n    return 2\n")
    assert server.invoke(name)[0] == 2


def test_tags(server: RunningServer, aws: Any, name: str) -> None:
    made = server.create(name, {"app.py": TOOLBOX}, Tags={"team": "field", "empty": ""})
    arn = made["FunctionArn"]
    assert aws.list_tags(Resource=arn)["Tags"] == {"team": "field", "empty": ""}
    aws.tag_resource(Resource=arn, Tags={"team": "stable", "größe": "1"})
    aws.untag_resource(Resource=arn, TagKeys=["empty", "never"])
    assert aws.get_function(FunctionName=name)["Tags"] == {"team": "stable", "größe": "1"}
    assert aws.get_function_configuration(FunctionName=name)["RevisionId"] != made["RevisionId"]
    with refused("ResourceNotFoundException", "Function not found"):
        aws.list_tags(Resource=arn + "-other")


def test_accounts_and_regions_do_not_see_each_other(server: RunningServer, name: str) -> None:
    doors = [("111122223333", "us-east-1"), ("444455556666", "us-east-1"), ("111122223333", "eu-west-1")]
    clients = [server.client("lambda", account=account, region=region) for account, region in doors]
    for number, ((account, region), client) in enumerate(zip(doors, clients, strict=True)):
        made = client.create_function(**minimal(name, Code={"ZipFile": says(f"number {number}")}))
        assert made["FunctionArn"] == f"arn:aws:lambda:{region}:{account}:function:{name}"
    for number, client in enumerate(clients):
        wait(client, name)
        assert [each["FunctionName"] for each in client.list_functions()["Functions"]] == [name]
        assert json.loads(client.invoke(FunctionName=name)["Payload"].read()) == f"number {number}"
    clients[0].delete_function(FunctionName=name)
    with refused("ResourceNotFoundException", "Function not found"):
        clients[0].get_function(FunctionName=name)
    for client in clients[1:]:
        client.get_function(FunctionName=name)


def test_an_arn_of_elsewhere(aws: Any, name: str) -> None:
    aws.create_function(**minimal(name))
    text = r"^Functions from 'eu-west-1' are not reachable in this region \('us-east-1'\)$"
    with refused("ResourceNotFoundException", text, 404):
        aws.get_function(FunctionName=f"arn:aws:lambda:eu-west-1:000000000000:function:{name}")
    with refused("AccessDeniedException", status=403):
        aws.get_function(FunctionName=f"arn:aws:lambda:us-east-1:999999999999:function:{name}")


def test_errors_have_aws_shape(server: RunningServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.endpoint}/2015-03-31/functions/never")
    with caught.value as answer:
        assert answer.status == 404
        assert answer.headers["x-amzn-ErrorType"].split(":")[0] == "ResourceNotFoundException"
        uuid.UUID(answer.headers["x-amzn-RequestId"])
        body = json.load(answer)
    assert body["Type"] == "User"
    assert body["Message"] == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:never"
