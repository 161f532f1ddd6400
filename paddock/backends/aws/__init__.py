"""AWS-compatible services that stand outside, reached over AWS's own wire."""
