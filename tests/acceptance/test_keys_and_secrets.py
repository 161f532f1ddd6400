"""KMS, parameters, secrets and code signing, as boto3 and the AWS CLI use them, and as a function does from inside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.calls import refused
from tests.support.cli import Cli
from tests.support.server import ROLE, ROOT, RunningServer, default_runtime, zipped

INSIDE = """
import json
import boto3

ssm, secrets, kms = (boto3.client(name) for name in ("ssm", "secretsmanager", "kms"))

def handler(event, context):
    path = ssm.get_parameters_by_path(Path="/inside", Recursive=True, WithDecryption=True)["Parameters"]
    secret = secrets.get_secret_value(SecretId="inside/database")
    box = kms.encrypt(KeyId="alias/inside", Plaintext=b"plain", EncryptionContext={"for": "us"})["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=box, EncryptionContext={"for": "us"})["Plaintext"]
    try:
        ssm.get_parameter(Name="/absent")
    except ssm.exceptions.ParameterNotFound as error:
        refusal = error.response["Error"]["Code"]
    return {
        "parameters": {one["Name"]: one["Value"] for one in path},
        "secret": json.loads(secret["SecretString"]),
        "opened": opened.decode(),
        "refusal": refusal,
    }
"""


@pytest.fixture
def cli(server: RunningServer, tmp_path: Path) -> Iterator[Callable[..., str]]:
    with Cli(server, tmp_path) as running:
        yield lambda *words: running(*words, "--output", "text")


def test_a_functions_parameters_secrets_and_keys(server: RunningServer, name: str) -> None:
    ssm, secrets, kms = (server.client(service) for service in ("ssm", "secretsmanager", "kms"))
    key = kms.create_key(Description="inside")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/inside", TargetKeyId=key)
    ssm.put_parameter(Name="/inside/host", Value="db", Type="String")
    ssm.put_parameter(Name="/inside/deep/password", Value="s3cret", Type="SecureString", KeyId="alias/inside")
    secrets.create_secret(Name="inside/database", SecretString=json.dumps({"user": "u"}), KmsKeyId="alias/inside")
    server.create(name, INSIDE, Timeout=60, MemorySize=1024)
    assert server.invoke(name)[0] == {
        "parameters": {"/inside/host": "db", "/inside/deep/password": "s3cret"},
        "secret": {"user": "u"},
        "opened": "plain",
        "refusal": "ParameterNotFound",
    }


def test_a_key_from_creation_to_its_end(server: RunningServer) -> None:
    kms = server.client("kms")
    key = kms.create_key()["KeyMetadata"]
    assert (key["KeyState"], key["KeyUsage"], key["KeySpec"]) == ("Enabled", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")
    data = kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    assert len(data["Plaintext"]) == 32
    assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
    box = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    with refused("InvalidCiphertextException", status=400):
        kms.decrypt(CiphertextBlob=box, EncryptionContext={"a": "c"})
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException", "is disabled.$"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    kms.enable_key(KeyId=key["KeyId"])
    assert kms.decrypt(CiphertextBlob=box, EncryptionContext={"a": "b"})["Plaintext"] == b"x"
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
    with refused("KMSInvalidStateException", "is pending deletion.$"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    with refused("NotFoundException", "does not exist$"):
        kms.encrypt(KeyId="alias/nobody", Plaintext=b"x")


def test_parameters_have_versions_and_pages(server: RunningServer) -> None:
    ssm = server.client("ssm")
    assert ssm.put_parameter(Name="/versions/a", Value="1", Type="String")["Version"] == 1
    with refused("ParameterAlreadyExists"):
        ssm.put_parameter(Name="/versions/a", Value="2", Type="String")
    assert ssm.put_parameter(Name="/versions/a", Value="2", Type="String", Overwrite=True)["Version"] == 2
    for number in range(12):
        ssm.put_parameter(Name=f"/versions/many/{number:02}", Value="x", Type="String")
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/versions", Recursive=True)
    assert len([one for page in pages for one in page["Parameters"]]) == 13
    found = ssm.get_parameters(Names=["/versions/a", "/versions/none"])
    assert [one["Value"] for one in found["Parameters"]] == ["2"]
    assert found["InvalidParameters"] == ["/versions/none"]
    ssm.delete_parameter(Name="/versions/a")
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name="/versions/a")


def test_a_secret_is_changed_deleted_and_restored(server: RunningServer) -> None:
    secrets = server.client("secretsmanager")
    made = secrets.create_secret(Name="changing", SecretString="one")
    with refused("ResourceExistsException"):
        secrets.create_secret(Name="changing", SecretString="x")
    secrets.put_secret_value(SecretId="changing", SecretString="two")
    assert secrets.get_secret_value(SecretId=made["ARN"])["SecretString"] == "two"
    assert secrets.get_secret_value(SecretId="changing", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    secrets.delete_secret(SecretId="changing", RecoveryWindowInDays=7)
    with refused("InvalidRequestException"):
        secrets.get_secret_value(SecretId="changing")
    secrets.restore_secret(SecretId="changing")
    assert secrets.get_secret_value(SecretId="changing")["SecretString"] == "two"
    secrets.delete_secret(SecretId="changing", ForceDeleteWithoutRecovery=True)
    with refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret"):
        secrets.get_secret_value(SecretId="changing")


def test_from_the_command_line(cli: Callable[..., str]) -> None:
    key = cli("kms", "create-key", "--query", "KeyMetadata.KeyId")
    cli("ssm", "put-parameter", "--name", "/typed", "--value", "v", "--type", "SecureString", "--key-id", key)
    assert cli("ssm", "get-parameter", "--name", "/typed", "--query", "Parameter.Value") != "v"
    assert cli("ssm", "get-parameter", "--name", "/typed", "--with-decryption", "--query", "Parameter.Value") == "v"
    cli("secretsmanager", "create-secret", "--name", "typed", "--secret-string", "hush")
    assert cli("secretsmanager", "get-secret-value", "--secret-id", "typed", "--query", "SecretString") == "hush"
    assert cli("kms", "list-aliases", "--query", "Aliases[0].AliasName").startswith(("alias/", "None"))


def test_signed_code_and_no_other(server: RunningServer, cli: Callable[..., str], tmp_path: Path) -> None:
    """`paddock sign`, a configuration that enforces, and functions and layers under it."""
    package, signed = tmp_path / "package.zip", tmp_path / "signed.zip"
    package.write_bytes(zipped({"app.py": "def handler(event, context):\n    return 'signed'\n"}))
    told = subprocess.run(
        [
            *(sys.executable, "-m", "paddock", "sign", str(package), "--profile", "team"),
            *("--output", str(signed), "--data-dir", str(server.data_dir)),
        ],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout.split()  # fmt: skip
    config = cli(
        "lambda", "create-code-signing-config", "--allowed-publishers", f"SigningProfileVersionArns={told[-1]}",
        "--code-signing-policies", "UntrustedArtifactOnDeployment=Enforce",
        "--query", "CodeSigningConfig.CodeSigningConfigArn",
    )  # fmt: skip
    client = server.client("lambda")
    fixed = {"Runtime": default_runtime(), "Handler": "app.handler", "Role": ROLE, "CodeSigningConfigArn": config}
    with refused("CodeVerificationFailedException", "it is not signed", 400):
        client.create_function(FunctionName="guarded", Code={"ZipFile": package.read_bytes()}, **fixed)
    made = client.create_function(FunctionName="guarded", Code={"ZipFile": signed.read_bytes()}, **fixed)
    assert made["SigningProfileVersionArn"] == told[-1]
    assert made["SigningJobArn"]
    client.get_waiter("function_active_v2").wait(
        FunctionName="guarded", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
    )
    assert server.invoke("guarded")[0] == "signed"
    layer = client.publish_layer_version(LayerName="guarded", Content={"ZipFile": package.read_bytes()})
    with refused("CodeVerificationFailedException", "was not signed by an allowed publisher", 400):
        client.update_function_configuration(FunctionName="guarded", Layers=[layer["LayerVersionArn"]])
    layer = client.publish_layer_version(LayerName="guarded", Content={"ZipFile": signed.read_bytes()})
    client.update_function_configuration(FunctionName="guarded", Layers=[layer["LayerVersionArn"]])
    assert cli("lambda", "get-function-code-signing-config", "--function-name", "guarded",
               "--query", "CodeSigningConfigArn") == config  # fmt: skip


def test_another_account_and_a_layers_policy(server: RunningServer, cli: Callable[..., str]) -> None:
    """What a layer's policy lets another account do, and what a function's policy says when it is read back."""
    own, other = server.client("lambda"), server.client("lambda", account="444444444444")
    arn = own.publish_layer_version(LayerName="lent", Content={"ZipFile": zipped({"x": "x"})})["LayerVersionArn"]
    with refused("AccessDeniedException", "not authorized to perform: lambda:GetLayerVersion", 403):
        other.get_layer_version_by_arn(Arn=arn)
    cli(
        "lambda", "add-layer-version-permission", "--layer-name", "lent", "--version-number", "1", "--statement-id",
        "lent", "--action", "lambda:GetLayerVersion", "--principal", "444444444444",
    )  # fmt: skip
    assert other.get_layer_version_by_arn(Arn=arn)["LayerVersionArn"] == arn
    cli("lambda", "remove-layer-version-permission", "--layer-name", "lent", "--version-number", "1",
        "--statement-id", "lent")  # fmt: skip
    with refused("AccessDeniedException", status=403):
        other.get_layer_version_by_arn(Arn=arn)
