"""The limits Lambda sets: AWS's published values of today (developer guide, quotas page), and two other profiles.

The service model's own min/max are enforced by wire/constraints; here stands what the model leaves open, or sets
higher than AWS allows for an ordinary function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Every limit carries its unit in its name."""

    layers_max: int = 5
    zipped_bytes_max: int = 52_428_800
    unzipped_bytes_max: int = 262_144_000
    # Ours: AWS publishes none. Above what any package of 250 MB has been seen to hold.
    package_entries_max: int = 150_000
    # Of an image unpacked; the entries are ours, and those of each layer.
    image_bytes_max: int = 10_737_418_240
    image_entries_max: int = 1_000_000
    request_bytes_max: int = 70_167_211
    sync_payload_bytes_max: int = 6_291_456
    async_payload_bytes_max: int = 1_048_576
    streamed_bytes_max: int = 209_715_200
    # What a streamed response may send at once, and in each second after that; 0 sets no limit. AWS has 2_097_152.
    streamed_burst_bytes: int = 6_291_456
    streamed_bytes_per_s: int = 0
    client_context_bytes_max: int = 3583
    environment_bytes_max: int = 4096
    function_name_chars_max: int = 64
    memory_mb_max: int = 10_240
    memory_mb_step: int = 1
    timeout_s_max: int = 900
    ephemeral_mb_max: int = 10_240
    code_storage_bytes_max: int = 80_530_636_800
    concurrency_max: int = 1000
    # Synchronous invocations of a function in a second, for each concurrent execution it may have. 0 sets no limit.
    invocations_per_execution_max: int = 10
    unreserved_concurrency_min: int = 100
    # Ours: AWS publishes none.
    aliases_per_function_max: int = 10_000
    tags_max: int = 50
    tag_key_chars_max: int = 128
    tag_value_chars_max: int = 256
    page_items_max: int = 50
    billing_granularity_ms: int = 1
    # Whether the initialisation of an on-demand function is billed, as it is since August 2025.
    init_is_billed: bool = True


PROFILES: Mapping[str, Quotas] = {
    "aws": Quotas(),
    # What Lambda was like until December 2020.
    "2019": Quotas(
        memory_mb_max=3_008,
        memory_mb_step=64,
        ephemeral_mb_max=512,
        billing_granularity_ms=100,
        init_is_billed=False,
    ),
    # What the service model and the machine allow: for those who set no limits to themselves.
    "unlimited": Quotas(
        layers_max=100,
        zipped_bytes_max=1 << 40,
        unzipped_bytes_max=1 << 40,
        package_entries_max=10_000_000,
        image_bytes_max=1 << 40,
        image_entries_max=10_000_000,
        environment_bytes_max=1 << 20,
        function_name_chars_max=140,
        memory_mb_max=32_768,
        timeout_s_max=5_400,
        ephemeral_mb_max=32_768,
        code_storage_bytes_max=1 << 50,
        unreserved_concurrency_min=0,
        invocations_per_execution_max=0,
        streamed_bytes_max=1 << 50,
        aliases_per_function_max=1_000_000,
    ),
}
