"""Terraform, as operators run it: a directory, a mirror with its AWS provider, and where this Paddock is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

TIMEOUT_S = 240
MIRRORS = ("TF_PLUGIN_MIRROR", "TF_PLUGIN_CACHE_DIR")
USUAL_PLACES = ("/opt", "/usr/share", "/usr/local/share")
PROVIDER = "registry.terraform.io/hashicorp/aws"
_PROVIDER_BLOCK = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {}

provider "aws" {
  region                     = "us-east-1"
  access_key                 = "000000000000"
  secret_key                 = "test"
  skip_metadata_api_check    = true
  skip_requesting_account_id = false
  s3_use_path_style          = true
  endpoints {
ENDPOINTS
  }
}
"""


def provider(services: Sequence[str]) -> str:
    """The beginning of a configuration whose provider finds these services at the test's Paddock."""
    return _PROVIDER_BLOCK.replace("ENDPOINTS", "\n".join(f"    {name} = var.endpoint" for name in services))


class Terraform:
    """Runs terraform in a directory of its own."""

    def __init__(self, directory: Path, mirror: Path, endpoint: str) -> None:
        self._directory = directory
        rc = directory / "terraform.rc"
        rc.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n  direct {{\n'
            '    exclude = ["*/*/*"]\n  }\n}\n'
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TF_"))}
        self._environment = {
            **kept,
            "TF_CLI_CONFIG_FILE": str(rc),
            "TF_VAR_endpoint": endpoint,
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        done = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self._directory, env=self._environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"terraform {arguments[0]}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def mirror(environ: Mapping[str, str]) -> Path | None:
    """A directory with the provider, from the environment or within a place where operators put such things."""
    named = [Path(environ[name]) for name in MIRRORS if environ.get(name)]
    usual = [below for place in USUAL_PLACES for below in sorted(Path(place).glob("*"))]
    return next((place for place in (*named, *usual) if (place / PROVIDER).is_dir()), None)


def ready(directory: Path, endpoint: str) -> Terraform:
    """In that directory; skips the test where there is no Terraform, or no provider for it."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    found = mirror(os.environ)
    if found is None:
        pytest.skip(f"no mirror with Terraform's AWS provider: set {MIRRORS[0]} to one")
    return Terraform(directory, found, endpoint)
