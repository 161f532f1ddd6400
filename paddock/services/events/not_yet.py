"""The operations of EventBridge's service model that Paddock does not do yet. They answer 501 and their name."""

from __future__ import annotations

NOT_YET = frozenset(
    {
        "ActivateEventSource",
        "CancelReplay",
        "CreateApiDestination",
        "CreateArchive",
        "CreateConnection",
        "CreateEndpoint",
        "CreatePartnerEventSource",
        "DeactivateEventSource",
        "DeauthorizeConnection",
        "DeleteApiDestination",
        "DeleteArchive",
        "DeleteConnection",
        "DeleteEndpoint",
        "DeletePartnerEventSource",
        "DescribeApiDestination",
        "DescribeArchive",
        "DescribeConnection",
        "DescribeEndpoint",
        "DescribeEventSource",
        "DescribePartnerEventSource",
        "DescribeReplay",
        "ListApiDestinations",
        "ListArchives",
        "ListConnections",
        "ListEndpoints",
        "ListEventSources",
        "ListPartnerEventSourceAccounts",
        "ListPartnerEventSources",
        "ListReplays",
        "PutPartnerEvents",
        "StartReplay",
        "UpdateApiDestination",
        "UpdateArchive",
        "UpdateConnection",
        "UpdateEndpoint",
    }
)
