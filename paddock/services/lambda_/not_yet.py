"""Operations of the model that Paddock does not answer yet. A house test keeps the list complete."""

NOT_YET = frozenset(
    {
        "CheckpointDurableExecution",
        "CreateCapacityProvider",
        "DeleteCapacityProvider",
        "DeleteDurableExecution",
        "DeleteProvisionedConcurrencyConfig",
        "GetCapacityProvider",
        "GetDurableExecution",
        "GetDurableExecutionHistory",
        "GetDurableExecutionState",
        "GetFunctionScalingConfig",
        "GetProvisionedConcurrencyConfig",
        "InvokeWithResponseStream",
        "ListCapacityProviders",
        "ListDurableExecutionsByFunction",
        "ListFunctionVersionsByCapacityProvider",
        "ListProvisionedConcurrencyConfigs",
        "PauseDurableExecution",
        "PutFunctionScalingConfig",
        "PutProvisionedConcurrencyConfig",
        "ResumeDurableExecution",
        "SendDurableExecutionCallbackFailure",
        "SendDurableExecutionCallbackHeartbeat",
        "SendDurableExecutionCallbackSuccess",
        "StopDurableExecution",
        "UpdateCapacityProvider",
    }
)
