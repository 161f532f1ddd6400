"""Constraint errors word for word, as recorded on AWS (spec 01 §1.1)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from paddock.wire.constraints import SHOWN_CHARS_MAX, VIOLATIONS_MAX, compiled, message, violations
from tests.wire.oracle import SERVICES, Values, load, operations

NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
ROLE = "arn:aws:iam::123456789012:role/r"


def found(operation: str, params: dict[str, Any], service: str = "lambda") -> list[str]:
    return violations(load(service).operation(operation), params)


def created(**more: Any) -> list[str]:
    return found("CreateFunction", {"FunctionName": "f", "Role": ROLE, "Code": {}, **more})


def test_nothing_is_wrong() -> None:
    assert created() == []
    assert found("GetAccountSettings", {}) == []


def test_required_members_in_one_message() -> None:
    assert message(found("CreateFunction", {"FunctionName": "f"})) == (
        "2 validation errors detected: "
        "Value null at 'role' failed to satisfy constraint: Member must not be null; "
        "Value null at 'code' failed to satisfy constraint: Member must not be null"
    )


def test_a_range() -> None:
    assert message(created(MemorySize=127)) == (
        "1 validation error detected: Value '127' at 'memorySize' failed to satisfy constraint: "
        "Member must have value greater than or equal to 128"
    )
    assert created(MemorySize=128) == []


def test_a_length_and_a_nested_path() -> None:
    [text] = created(Description="d" * 257)
    assert text.endswith(
        "at 'description' failed to satisfy constraint: Member must have length less than or equal to 256"
    )
    assert created(EphemeralStorage={"Size": 1}) == [
        "Value '1' at 'ephemeralStorage.size' failed to satisfy constraint: "
        "Member must have value greater than or equal to 512"
    ]
    assert created(KMSKeyArn="x")[0].startswith(
        "Value 'x' at 'kMSKeyArn' failed to satisfy constraint: Member must satisfy"
    )


def test_a_pattern_matches_the_whole_value() -> None:
    assert created(FunctionName="a b") == [
        f"Value 'a b' at 'functionName' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {NAME_PATTERN}"
    ]
    assert created(FunctionName="f\n") != []
    assert created(FunctionName="x f") != []
    assert created(Role=ROLE + "\n") != []
    assert found("DeleteFunctionUrlConfig", {"FunctionName": "f", "Qualifier": "12"}) != []


def test_digits_of_other_scripts_are_not_digits() -> None:
    assert created(Role=ROLE.replace("1", "\u0661")) != []


def test_a_failed_name_pattern_hides_the_length_but_not_at_create() -> None:
    bad = "!" * 300
    assert len(created(FunctionName=bad)) == 2
    [text] = found("GetFunction", {"FunctionName": bad})
    assert "regular expression" in text
    [text] = found("GetFunction", {"FunctionName": "a" * 300})
    assert text.endswith("Member must have length less than or equal to 256")


def test_the_runtime_is_left_to_the_service_but_not_a_layers() -> None:
    assert created(Runtime="cobol") == []
    [text] = found(
        "PublishLayerVersion", {"LayerName": "l", "Content": {}, "CompatibleRuntimes": ["python3.12", "cobol"]}
    )
    assert text.startswith(
        "Value '[python3.12, cobol]' at 'compatibleRuntimes' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must satisfy enum value set: ["
    )
    assert text.endswith("], Member must not be null]")


def test_an_enum() -> None:
    assert created(PackageType="Tar") == [
        "Value 'Tar' at 'packageType' failed to satisfy constraint: Member must satisfy enum value set: [Zip, Image]"
    ]


def test_a_list_is_reported_as_a_whole() -> None:
    assert created(Architectures=["z80"]) == [
        "Value '[z80]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
    ]
    assert "'[null]' at 'architectures'" in created(Architectures=[None])[0]
    assert created(Architectures=["arm64"] * 2)[0].endswith("Member must have length less than or equal to 1")


def test_a_map_is_reported_as_a_whole_values_and_keys_apart() -> None:
    alias = {"FunctionName": "f", "Name": "n", "FunctionVersion": "1"}
    weights = {"RoutingConfig": {"AdditionalVersionWeights": {"2": -1.0}}}
    assert found("CreateAlias", {**alias, **weights}) == [
        "Value '{2=-1.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: "
        "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, "
        "Member must have value greater than or equal to 0.0, Member must not be null]"
    ]
    weights = {"RoutingConfig": {"AdditionalVersionWeights": {"x": 0.5}}}
    assert found("CreateAlias", {**alias, **weights}) == [
        "Value '{x=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: "
        "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, "
        "Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]"
    ]


def test_elements_that_are_structures_have_their_number_in_the_path() -> None:
    tags = [{"Key": "a", "Value": "b"}, {"Value": "c"}]
    role: dict[str, Any] = {"RoleName": "r", "AssumeRolePolicyDocument": "{}", "Tags": tags}
    assert found("CreateRole", role, "iam") == [
        "Value null at 'tags.2.member.key' failed to satisfy constraint: Member must not be null"
    ]
    role["Tags"] = [None]
    assert found("CreateRole", role, "iam") == [
        "Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null"
    ]


def test_what_is_sensitive_is_never_shown() -> None:
    assert created(Environment={"Variables": {"a-key": "the secret"}}) == [
        "Value at 'environment.variables' failed to satisfy constraint: "
        "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
    ]
    session = {"RoleArn": ROLE, "RoleSessionName": "s", "SAMLAssertion": "the secret", "PrincipalArn": "p"}
    assert "the secret" not in message(found("AssumeRoleWithSAML", session, "sts"))


def test_blobs_count_bytes() -> None:
    [blob] = found("SendDurableExecutionCallbackSuccess", {"CallbackId": "x", "Result": bytes(1_048_577)})
    assert (
        "Value at 'result' failed to satisfy constraint: Member must have length less than or equal to 1048576" in blob
    )


def test_messages_are_bounded() -> None:
    many = {"RoleName": "r", "AssumeRolePolicyDocument": "{}", "Tags": [{}] * 1000}
    assert len(found("CreateRole", many, "iam")) == VIOLATIONS_MAX
    [text] = created(Description="d" * 1_000_000)
    assert len(text) < SHOWN_CHARS_MAX + 200


def all_patterns() -> set[str]:
    models = [load(name).model for name in SERVICES]
    shapes = [model.shape_for(name) for model in models for name in model.shape_names]
    return {shape.metadata["pattern"] for shape in shapes if "pattern" in shape.metadata}


def test_every_pattern_of_the_models_compiles_without_a_warning() -> None:
    for pattern in all_patterns():
        compiled(pattern)


def test_unicode_letters_stand_beside_numbers_and_the_underscore() -> None:
    """What constraints.compiled relies on when it reads \\p{L} as \\w."""
    for pattern in all_patterns():
        for found_class in re.findall(r"\[[^\]]*\\p\{L\}[^\]]*\]", pattern):
            assert "\\p{N}" in found_class
            assert "_" in found_class
        assert set(re.findall(r"\\p\{\w+\}", pattern)) <= {"\\p{L}", "\\p{N}", "\\p{Z}"}


def test_tag_patterns_take_letters_of_any_script() -> None:
    tagged = {"Resource": "arn:aws:lambda:us-east-1:123456789012:function:f"}
    assert found("TagResource", {**tagged, "Tags": {"Größe": "漢字 x"}}) == []
    assert found("TagResource", {**tagged, "Tags": {"a": "!"}}) != []


@pytest.mark.parametrize(("service", "operation"), operations())
def test_any_parsed_value_can_be_checked(service: str, operation: str) -> None:
    values = Values(operation, empties=True)
    for _ in range(2):
        texts = found(operation, values.members(load(service).operation(operation).input_shape, every=True), service)
        assert all(" failed to satisfy constraint: " in text for text in texts)
