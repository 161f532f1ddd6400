"""The sieve of Eratosthenes: {"n": limit} -> {"count": of primes below it, "largest": one}."""

from __future__ import annotations


def handler(event: dict[str, int], context: object) -> dict[str, int]:
    limit = event["n"]
    is_prime = bytearray([1]) * limit
    is_prime[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return {"count": sum(is_prime), "largest": is_prime.rindex(1)}
