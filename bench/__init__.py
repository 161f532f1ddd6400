"""`python -m bench`: what an invocation costs, as ratios against references measured in the same run."""
