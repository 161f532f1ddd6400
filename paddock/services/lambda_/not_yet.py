"""Operations of the model that Paddock does not answer yet. A house test keeps the list complete."""

NOT_YET = frozenset(
    {
        "CheckpointDurableExecution",
        "CreateCapacityProvider",
        "DeleteCapacityProvider",
        "DeleteDurableExecution",
        "GetCapacityProvider",
        "GetDurableExecution",
        "GetDurableExecutionHistory",
        "GetDurableExecutionState",
        "ListCapacityProviders",
        "ListDurableExecutionsByFunction",
        "ListFunctionVersionsByCapacityProvider",
        "PauseDurableExecution",
        "ResumeDurableExecution",
        "SendDurableExecutionCallbackFailure",
        "SendDurableExecutionCallbackHeartbeat",
        "SendDurableExecutionCallbackSuccess",
        "StopDurableExecution",
        "UpdateCapacityProvider",
    }
)
