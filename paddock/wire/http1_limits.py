"""Every limit of the HTTP server, with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """None means no limit. The defaults suit a server on the internet.

    head_bytes_max: request line and fields together. headers_max: fields of a head, and of trailers.
    body_bytes_max: of any request, whatever a handler allows. head_timeout_s: from a head's first byte to its end, and
    from the connection to its first byte. body_idle_timeout_s: between two pieces of a body that is waited for;
    body_bytes_per_s_min: what a body must bring on average beyond that patience.
    keep_alive_timeout_s: between two requests. write_timeout_s: for a client that does not read its answer.
    connections_max: more are answered 503. pipelined_max: requests parsed ahead of the running one (at least).
    buffered_body_bytes_max: of a body the handler has not yet taken; reading pauses above it (by at most one read).
    drain_bytes_max: of an unread body, thrown away to keep the connection. linger_bytes_max, linger_timeout_s: what is
    discarded, and for how long, after an answer that ends the connection while the client still sends.
    """

    head_bytes_max: int = 65_536
    headers_max: int = 100
    body_bytes_max: int | None = None
    head_timeout_s: float | None = 30.0
    body_idle_timeout_s: float | None = 30.0
    body_bytes_per_s_min: float | None = 256.0
    keep_alive_timeout_s: float | None = 75.0
    write_timeout_s: float | None = 30.0
    connections_max: int | None = 10_000
    pipelined_max: int = 16
    buffered_body_bytes_max: int = 262_144
    drain_bytes_max: int = 65_536
    linger_bytes_max: int = 134_217_728
    linger_timeout_s: float = 5.0

    def shortest_timeout_s(self) -> float | None:
        """The smallest timeout that is set. The timer's pace follows it."""
        timeouts = (
            self.head_timeout_s,
            self.body_idle_timeout_s,
            self.keep_alive_timeout_s,
            self.write_timeout_s,
            self.linger_timeout_s,
        )
        return min((t for t in timeouts if t is not None), default=None)
