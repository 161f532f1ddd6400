"""The operations of Secrets Manager's service model that Paddock does not do yet. They answer 501 and their name."""

from __future__ import annotations

NOT_YET = frozenset(
    {
        "AssociateCrossAccountReplica",
        "BatchGetSecretValue",
        "CancelRotateSecret",
        "DeleteResourcePolicy",
        "DisassociateCrossAccountReplica",
        "GetRandomPassword",
        "GetResourcePolicy",
        "ListResourcePolicies",
        "ListSecretVersionIds",
        "PutResourcePolicy",
        "RemoveRegionsFromReplication",
        "ReplicateSecretToRegions",
        "RotateSecret",
        "StopReplicationToReplica",
        "TagResource",
        "UntagResource",
        "UpdateSecretVersionStage",
        "ValidateResourcePolicy",
    }
)
