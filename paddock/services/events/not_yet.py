"""The operations of EventBridge's service model that Paddock does not do yet. They answer 501 and their name."""

from __future__ import annotations

NOT_YET = frozenset(
    {
        "ActivateEventSource",
        "CreateApiDestination",
        "CreateConnection",
        "CreateEndpoint",
        "CreatePartnerEventSource",
        "DeactivateEventSource",
        "DeauthorizeConnection",
        "DeleteApiDestination",
        "DeleteConnection",
        "DeleteEndpoint",
        "DeletePartnerEventSource",
        "DescribeApiDestination",
        "DescribeConnection",
        "DescribeEndpoint",
        "DescribeEventSource",
        "DescribePartnerEventSource",
        "ListApiDestinations",
        "ListConnections",
        "ListEndpoints",
        "ListEventSources",
        "ListPartnerEventSourceAccounts",
        "ListPartnerEventSources",
        "PutPartnerEvents",
        "UpdateApiDestination",
        "UpdateConnection",
        "UpdateEndpoint",
    }
)
