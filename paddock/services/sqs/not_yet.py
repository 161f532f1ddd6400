"""Operations of the model that Paddock does not answer yet. A house test keeps the list complete."""

NOT_YET: frozenset[str] = frozenset()
