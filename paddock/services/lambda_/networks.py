"""VpcConfig: which of the operator's named networks a function joins (docs/networks.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddock.model.errors import InvalidParameterValue, NotYet
from paddock.model.function import VpcConfig

Networks = Sequence[Mapping[str, Any]]
"""As config.Networks gives them, each with name, vpc_id, subnets and security_groups."""


def vpc_of(params: Mapping[str, Any], networks: Networks) -> VpcConfig | None:
    """What a request's VpcConfig comes to; None when it has none, which leaves things as they are.

    Raises InvalidParameterValue in AWS's words for a subnet or a security group that no network has.
    """
    sent = params.get("VpcConfig")
    if sent is None:
        return None
    if sent.get("Ipv6AllowedForDualStack"):
        raise NotYet("The setting VpcConfig.Ipv6AllowedForDualStack is not supported by Paddock yet.")
    subnets, groups = tuple(sent.get("SubnetIds") or ()), tuple(sent.get("SecurityGroupIds") or ())
    if bool(subnets) != bool(groups):
        raise InvalidParameterValue("SubnetIds and SecurityIds must coexist or be both empty list.")
    if not subnets:
        return VpcConfig()
    network = _network_of(subnets, networks)
    for group in groups:
        if group not in network["security_groups"]:
            raise InvalidParameterValue(
                "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. "
                f"EC2 Error Message: The security group '{group}' does not exist"
            )
    return VpcConfig(subnets=subnets, security_groups=groups, vpc_id=network["vpc_id"], network=network["name"])


def _network_of(subnets: Sequence[str], networks: Networks) -> Mapping[str, Any]:
    by_subnet = {subnet: network for network in networks for subnet in network["subnets"]}
    for subnet in subnets:
        if subnet not in by_subnet:
            raise InvalidParameterValue(
                "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. "
                f"EC2 Error Message: The subnet ID '{subnet}' does not exist"
            )
    found = {by_subnet[subnet]["name"] for subnet in subnets}
    if len(found) > 1:
        raise InvalidParameterValue("The subnets of a function must belong to the same VPC.")
    return by_subnet[subnets[0]]
