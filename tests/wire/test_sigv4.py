"""Signatures: the vectors of spec 06 §9, and botocore's signer as oracle."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode, percent_encode_sequence
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.wire.errors import SignatureRefused
from paddock.wire.messages import Headers, Request
from paddock.wire.sigv4 import Credential, Secret, Verifier, canonical_request, credential_of, payload_hash

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN=="
SECRETS = {"AKIDEXAMPLE": Secret(KEY), "ASIAEXAMPLE": Secret(KEY, TOKEN)}
SCOPE = "20260115/us-east-1/lambda/aws4_request"


def authorization(key_id: str, signed_headers: str, signature: str, scope: str = SCOPE) -> str:
    return f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"


def verify(
    request: Request, now: datetime = NOW, secret_of: Callable[[str], Secret | None] = SECRETS.get
) -> Credential:
    return Verifier().verify(request, secret_of=secret_of, now=now, region="us-east-1", service="lambda")


def invoke(**changes: str) -> Request:
    signature = "7bcc91483349dc1131bd135ee10426bf03b89f0fb8412e19042e9bd5acce19bf"
    headers = {
        "Host": "lambda.us-east-1.amazonaws.com",
        "X-Amz-Date": "20260115T120000Z",
        "X-Amz-Invocation-Type": "RequestResponse",
        "Authorization": authorization("AKIDEXAMPLE", "host;x-amz-date;x-amz-invocation-type", signature),
    }
    headers.update({name: changes.pop(name) for name in list(changes) if name in headers or "-" in name})
    parts = {
        "method": "POST",
        "path": "/2015-03-31/functions/my-func/invocations",
        "query": "Qualifier=%24LATEST",
        "body": '{"k":1}',
        **changes,
    }
    return Request(
        method=parts["method"],
        path=parts["path"],
        query=parts["query"],
        headers=Headers((name, value) for name, value in headers.items() if value),
        body=parts["body"].encode(),
    )


def tags(token: str = TOKEN) -> Request:
    signature = "976ba953d33ef3e005ee132b0bb73c129f22938abeb1c8dc83d2bf1e8c989980"
    return Request(
        method="GET",
        path="/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Amy-func",
        headers=Headers(
            [
                ("Host", "lambda.us-east-1.amazonaws.com"),
                ("X-Amz-Date", "20260115T120000Z"),
                ("X-Amz-Security-Token", token),
                ("Authorization", authorization("ASIAEXAMPLE", "host;x-amz-date;x-amz-security-token", signature)),
            ]
        ),
    )


def presigned(query: str = "") -> Request:
    return Request(
        method="GET",
        path="/path",
        query=query
        or "x=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260115%2Fus-east-1%2Flambda%2F"
        "aws4_request&X-Amz-Date=20260115T120000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature="
        "407ffaa3c9c8a5146aeb7fd4560fa59081f94ccd48ed82d5beda8dc8ded0035a",
        headers=Headers([("Host", "abc.lambda-url.us-east-1.on.aws")]),
    )


def test_the_vectors_verify() -> None:
    assert verify(invoke()) == Credential("AKIDEXAMPLE", "20260115", "us-east-1", "lambda")
    assert verify(tags()).access_key_id == "ASIAEXAMPLE"
    assert verify(presigned()).access_key_id == "AKIDEXAMPLE"


def test_the_canonical_form_encodes_the_path_twice() -> None:
    request = tags()
    canonical = canonical_request(request, ("host", "x-amz-date", "x-amz-security-token"), payload_hash(request))
    assert canonical.splitlines()[1].endswith(
        "arn%253Aaws%253Alambda%253Aus-east-1%253A123456789012%253Afunction%253Amy-func"
    )


def test_the_credential_is_read_without_being_verified() -> None:
    assert credential_of(invoke()) == Credential("AKIDEXAMPLE", "20260115", "us-east-1", "lambda")
    assert credential_of(presigned()) == Credential("AKIDEXAMPLE", "20260115", "us-east-1", "lambda")
    assert credential_of(Request(method="GET", path="/")) is None
    for text in ("Basic abc", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b/c", "AWS :sig"):
        assert credential_of(Request(method="GET", path="/", headers=Headers([("Authorization", text)]))) is None
    assert credential_of(Request(method="GET", path="/", query="X-Amz-Credential=%ff")) is None
    older = Credential("AKID", "", "", "s3")
    assert credential_of(Request(method="GET", path="/", headers=Headers([("Authorization", "AWS AKID:sig")]))) == older
    assert credential_of(Request(method="GET", path="/", query="AWSAccessKeyId=AKID&Signature=s&Expires=1")) == older
    assert credential_of(Request(method="GET", path="/", query="AWSAccessKeyId=AKID")) is None


@pytest.mark.parametrize(
    "request_",
    [
        invoke(body='{"k":2}'),
        invoke(method="PUT"),
        invoke(path="/2015-03-31/functions/my-func/invocation"),
        invoke(query="Qualifier=1"),
        invoke(**{"X-Amz-Invocation-Type": "Event"}),
        invoke(**{"X-Amz-Content-Sha256": "0" * 64}),
        invoke(**{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}),
        invoke(query="Qualifier=%ff"),
        invoke(Authorization=authorization("AKIDEXAMPLE", "x-amz-date", "0" * 64)),
        invoke(Authorization=authorization("AKIDEXAMPLE", "host", "é")),
        invoke(Authorization=authorization("AKIDEXAMPLE", "host", "0", "20260115/eu-west-1/lambda/aws4_request")),
        invoke(Authorization=authorization("AKIDEXAMPLE", "host", "0", "20260115/us-east-1/sqs/aws4_request")),
        invoke(Authorization=authorization("AKIDEXAMPLE", "host", "0", "20260114/us-east-1/lambda/aws4_request")),
        presigned(presigned().query.replace("x=1", "x=2")),
        presigned(presigned().query.replace("3600", "3601")),
    ],
)
def test_what_was_changed_does_not_verify(request_: Request) -> None:
    with pytest.raises(SignatureRefused) as caught:
        verify(request_)
    assert (caught.value.code, caught.value.status) == ("InvalidSignatureException", 403)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Request(method="GET", path="/"), "MissingAuthenticationTokenException"),
        (Request(method="GET", path="/", query="%ff"), "MissingAuthenticationTokenException"),
        (invoke(Authorization="Basic x"), "IncompleteSignatureException"),
        (invoke(Authorization="AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request"), "IncompleteSignatureException"),
        (invoke(Authorization="AWS4-HMAC-SHA256 ,,=,"), "IncompleteSignatureException"),
        (invoke(**{"X-Amz-Date": ""}), "IncompleteSignatureException"),
        (invoke(**{"X-Amz-Date": "yesterday"}), "IncompleteSignatureException"),
        (invoke(**{"X-Amz-Date": "20261315T120000Z"}), "IncompleteSignatureException"),
        (presigned("X-Amz-Signature=0"), "IncompleteSignatureException"),
        (presigned(presigned().query.replace("3600", "604801")), "IncompleteSignatureException"),
        (presigned(presigned().query.replace("3600", "0")), "IncompleteSignatureException"),
        (tags(token="other"), "UnrecognizedClientException"),
        (tags(token=""), "UnrecognizedClientException"),
        (invoke(**{"X-Amz-Security-Token": "x"}), "UnrecognizedClientException"),
    ],
)
def test_what_is_missing_is_named(request_: Request, code: str) -> None:
    with pytest.raises(SignatureRefused) as caught:
        verify(request_)
    assert (caught.value.code, caught.value.status) == (code, 403)


def test_an_unknown_key() -> None:
    with pytest.raises(SignatureRefused, match="security token included in the request is invalid"):
        verify(invoke(), secret_of=lambda _: None)


def test_the_clock_may_differ_by_five_minutes() -> None:
    five = timedelta(minutes=5)
    verify(invoke(), NOW + five)
    verify(invoke(), NOW - five)
    with pytest.raises(SignatureRefused) as caught:
        verify(invoke(), NOW + five + timedelta(seconds=1))
    assert caught.value.message == (
        "Signature expired: 20260115T120000Z is now earlier than 20260115T120001Z (20260115T120501Z - 5 min.)"
    )
    with pytest.raises(SignatureRefused, match="Signature not yet current: 20260115T120000Z is still later than"):
        verify(invoke(), NOW - five - timedelta(seconds=1))


def test_a_presigned_request_lives_as_long_as_it_says() -> None:
    verify(presigned(), NOW + timedelta(seconds=3600))
    with pytest.raises(SignatureRefused, match="Signature expired"):
        verify(presigned(), NOW + timedelta(seconds=3601))


def test_signing_keys_are_kept_within_bounds() -> None:
    verifier = Verifier(keys_max=2)
    for number in range(5):
        with pytest.raises(SignatureRefused):
            verifier.verify(invoke(), secret_of={"AKIDEXAMPLE": Secret(f"wrong-{number}")}.get, now=NOW)
        assert verifier.verify(invoke(), secret_of=SECRETS.get, now=NOW).service == "lambda"
    assert len(verifier._keys) <= 2


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
SEGMENT = WORD.map(percent_encode) | st.sampled_from(["", ".", "..", "a%2Fb", "~"])
HEADER_VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def sent(request: AWSRequest) -> Request:
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    headers = [(name, v.decode() if isinstance(v, bytes) else v) for name, v in prepared.headers.items()]
    return Request(
        method=prepared.method,
        path=url.path,
        query=url.query,
        headers=Headers([*headers, ("Host", url.netloc)]),
        body=prepared.body or b"",
    )


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    st.lists(SEGMENT, max_size=5),
    st.lists(st.tuples(WORD.filter(bool), WORD), max_size=4),
    st.dictionaries(st.sampled_from(["X-Amz-Log-Type", "X-Amz-Meta-A", "Content-Type"]), HEADER_VALUE),
    st.binary(max_size=50),
    st.sampled_from([None, TOKEN]),
    st.booleans(),
)
def test_what_botocore_signs_verifies(
    method: str,
    segments: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    token: str | None,
    in_query: bool,
) -> None:
    url = "http://127.0.0.1:4566/" + "/".join(segments)
    if query:
        url += "?" + percent_encode_sequence(query)
    if in_query:
        headers = {}
    request = AWSRequest(method=method, url=url, headers=headers, data=b"" if in_query else body)
    signer = SigV4QueryAuth if in_query else SigV4Auth
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        signer(Credentials("AKID", KEY, token), "lambda", "us-east-1").add_auth(request)

    credential = Verifier().verify(
        sent(request), secret_of=lambda _: Secret(KEY, token or ""), now=NOW, region="us-east-1", service="lambda"
    )
    assert credential == Credential("AKID", "20260115", "us-east-1", "lambda")
