"""The limits Lambda sets, as one profile: AWS's published values of today (developer guide, quotas page).

The service model's own min/max are enforced by wire/constraints; here stands what the model leaves open, or sets
higher than AWS allows for an ordinary function.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Every limit carries its unit in its name."""

    layers_max: int = 5
    zipped_bytes_max: int = 52_428_800
    unzipped_bytes_max: int = 262_144_000
    # Ours: AWS publishes none. Above what any package of 250 MB has been seen to hold.
    package_entries_max: int = 150_000
    request_bytes_max: int = 70_167_211
    sync_payload_bytes_max: int = 6_291_456
    client_context_bytes_max: int = 3583
    environment_bytes_max: int = 4096
    function_name_chars_max: int = 64
    memory_mb_max: int = 10_240
    timeout_s_max: int = 900
    ephemeral_mb_max: int = 10_240
    code_storage_bytes_max: int = 80_530_636_800
    concurrency_max: int = 1000
    unreserved_concurrency_min: int = 100
    # Ours: AWS publishes none.
    aliases_per_function_max: int = 10_000
    tags_max: int = 50
    tag_key_chars_max: int = 128
    tag_value_chars_max: int = 256
    page_items_max: int = 50
