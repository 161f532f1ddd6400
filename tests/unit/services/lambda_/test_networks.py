"""VpcConfig and FileSystemConfigs: which are known, and AWS's words for those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from paddock.model.errors import InvalidParameterValue, NotYet
from paddock.model.function import FileSystemUse, VpcConfig
from paddock.services.lambda_.file_systems import file_systems_of
from paddock.services.lambda_.networks import vpc_of

NETWORKS = (
    {"name": "a", "vpc_id": "vpc-a", "subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-1"]},
    {"name": "b", "vpc_id": "vpc-b", "subnets": ["subnet-3"], "security_groups": ["sg-3"]},
)


def wanted(*subnets: str, groups: tuple[str, ...] = ("sg-1",), **more: Any) -> dict[str, Any]:
    return {"VpcConfig": {"SubnetIds": list(subnets), "SecurityGroupIds": list(groups), **more}}


def test_subnets_name_a_network() -> None:
    found = vpc_of(wanted("subnet-2", "subnet-1"), NETWORKS)
    assert found == VpcConfig(subnets=("subnet-2", "subnet-1"), security_groups=("sg-1",), vpc_id="vpc-a", network="a")


def test_nothing_said_changes_nothing_and_empty_lists_detach() -> None:
    assert vpc_of({}, NETWORKS) is None
    assert vpc_of(wanted(groups=()), NETWORKS) == VpcConfig()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            wanted("subnet-9"),
            "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: "
            "The subnet ID 'subnet-9' does not exist",
        ),
        (
            wanted("subnet-1", groups=("sg-3",)),
            "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. EC2 Error Message: "
            "The security group 'sg-3' does not exist",
        ),
        (wanted("subnet-1", "subnet-3"), "The subnets of a function must belong to the same VPC."),
        (wanted("subnet-1", groups=()), "SubnetIds and SecurityIds must coexist or be both empty list."),
        (wanted(), "SubnetIds and SecurityIds must coexist or be both empty list."),
    ],
)
def test_what_no_network_has_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        vpc_of(params, NETWORKS)
    assert str(refused.value) == message


def test_ipv6_is_not_there_yet() -> None:
    with pytest.raises(NotYet, match="Ipv6AllowedForDualStack"):
        vpc_of(wanted("subnet-1", Ipv6AllowedForDualStack=True), NETWORKS)


def mounts(arn: str, path: str = "/mnt/x") -> dict[str, Any]:
    return {"FileSystemConfigs": [{"Arn": arn, "LocalMountPath": path}]}


def test_directories_that_the_operator_allows() -> None:
    found = file_systems_of(mounts("arn:1"), ("arn:1",), is_in_vpc=True)
    assert found == (FileSystemUse(arn="arn:1", mount_path="/mnt/x"),)
    assert file_systems_of({}, (), is_in_vpc=False) is None
    assert file_systems_of({"FileSystemConfigs": []}, (), is_in_vpc=False) == ()


@pytest.mark.parametrize(
    ("params", "is_in_vpc", "message"),
    [
        (mounts("arn:2"), True, "The access point arn:2 does not exist"),
        (mounts("arn:1"), False, "FileSystemConfigs needs a VpcConfig"),
        (mounts("arn:1", "/mnt/.."), True, "LocalMountPath must name a directory below /mnt"),
    ],
)
def test_other_directories_are_refused(params: dict[str, Any], is_in_vpc: bool, message: str) -> None:
    with pytest.raises(InvalidParameterValue, match=message):
        file_systems_of(params, ("arn:1",), is_in_vpc=is_in_vpc)


def test_a_network_is_not_left_while_something_is_mounted() -> None:
    kept = (FileSystemUse(arn="arn:1", mount_path="/mnt/x"),)
    with pytest.raises(InvalidParameterValue, match="needs a VpcConfig"):
        file_systems_of({}, ("arn:1",), is_in_vpc=False, mounted=kept)
    assert file_systems_of({"FileSystemConfigs": []}, ("arn:1",), is_in_vpc=False, mounted=kept) == ()
    assert file_systems_of({}, ("arn:1",), is_in_vpc=True, mounted=kept) is None
