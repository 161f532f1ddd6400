"""Every spelling of a function, with the service model's own pattern as the oracle."""

from __future__ import annotations

import re

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.errors import AccessDenied, InvalidParameterValue, ResourceNotFound, ServiceError, ValidationError

ACCOUNT, REGION = "123456789012", "us-east-1"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
PATTERN = re.compile(
    botocore.session.get_session().get_service_model("lambda").shape_for("NamespacedFunctionName").metadata["pattern"]
)


def parse(text: str, qualifier: str = "") -> FunctionRef:
    return parse_function_ref(text, account=ACCOUNT, region=REGION, qualifier=qualifier)


@pytest.mark.parametrize(
    ("text", "name", "qualifier"),
    [
        ("f", "f", ""),
        ("f:live", "f", "live"),
        ("f:$LATEST", "f", "$LATEST"),
        ("f:$LATEST.PUBLISHED", "f", "$LATEST.PUBLISHED"),
        ("f:12", "f", "12"),
        ("function:f", "f", ""),
        ("function:f:1", "f", "1"),
        (f"{ACCOUNT}:function:f", "f", ""),
        (f"{ACCOUNT}:function:f:1", "f", "1"),
        (f"{ACCOUNT}:f", "f", ""),
        (f"{REGION}:{ACCOUNT}:function:f", "f", ""),
        (f"{ARN}:f", "f", ""),
        (f"{ARN}:f:$LATEST", "f", "$LATEST"),
        (f"arn:aws-us-gov:lambda:{REGION}:{ACCOUNT}:function:f", "f", ""),
        ("function", "function", ""),
        (ARN, "function", ""),
        ("function:function", "function", ""),
        ("function:$LATEST", "function", "$LATEST"),
        (f"{ACCOUNT}:$LATEST", ACCOUNT, "$LATEST"),
        (ACCOUNT, ACCOUNT, ""),
        ("a.b_c-d", "a.b_c-d", ""),
        ("x" * 200, "x" * 200, ""),
    ],
)
def test_spellings(text: str, name: str, qualifier: str) -> None:
    assert parse(text) == FunctionRef(account=ACCOUNT, region=REGION, name=name, qualifier=qualifier)


@pytest.mark.parametrize(
    "text", ["", ":", "f:", ":f", "a b", "a/b", "f:1:2", "f:$latest", "arn:aws:s3:::f", "f\n", "ü"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValidationError, match=r"at 'functionName' failed to satisfy constraint"):
        parse(text)


def test_the_arn_repeats_what_was_asked_for() -> None:
    assert parse("f").arn == f"{ARN}:f"
    assert parse("f:live").arn == f"{ARN}:f:live"
    assert parse("f", "$LATEST").arn == f"{ARN}:f:$LATEST"
    assert parse("f:live").function_arn == f"{ARN}:f"
    assert [parse(text).is_latest for text in ("f", "f:$LATEST", "f:1")] == [True, True, False]


def test_two_qualifiers_must_agree() -> None:
    assert parse("f:1", "1").qualifier == "1"
    with pytest.raises(InvalidParameterValue) as caught:
        parse("f:1", "2")
    assert caught.value.message == (
        "The derived qualifier from the function name does not match the specified qualifier."
    )


def test_another_region_is_not_found() -> None:
    with pytest.raises(ResourceNotFound) as caught:
        parse(f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f")
    assert caught.value.message == "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"


def test_another_account_is_denied() -> None:
    with pytest.raises(AccessDenied):
        parse(f"arn:aws:lambda:{REGION}:999999999999:function:f")


PIECES = st.sampled_from(
    f"arn aws aws-cn lambda {REGION} eu-west-1 us-gov-west-1 {ACCOUNT} 1234 function f $LATEST $LATEST.PUBLISHED "
    "live 1 a.b $x _".split(" ")
)


@given(st.lists(PIECES, min_size=1, max_size=8).map(":".join))
def test_we_accept_what_the_service_model_accepts_and_take_it_apart_alike(text: str) -> None:
    oracle = PATTERN.fullmatch(text)
    try:
        parsed = parse_function_ref(text, account=ACCOUNT, region=REGION)
    except ValidationError:
        assert oracle is None
        return
    except ServiceError:
        assert oracle is not None  # another region or account: it was understood
        return
    assert oracle is not None
    groups = oracle.groups()
    name = oracle[0].removesuffix(f":{parsed.qualifier}") if parsed.qualifier else oracle[0]
    assert name.endswith(parsed.name)
    assert parsed.qualifier == (groups[-2] or "")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = parse(text)
    except ServiceError:
        return
    assert text.endswith(parsed.qualifier or parsed.name)
