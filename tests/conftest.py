"""Before anything runs: no setting of the person at the keyboard reaches a test."""

from __future__ import annotations

import os

for _name in [name for name in os.environ if name.startswith(("PADDOCK_", "AWS_"))]:
    del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # SDKs without credentials must not look beyond this machine
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
