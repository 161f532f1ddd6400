"""The services whose changes are events: S3 and SNS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddock.app.event_mode import EventMode
from paddock.app.ground import Foundation, Start
from paddock.backends.files.notary import FileNotary
from paddock.backends.files.segments import FileSegments
from paddock.backends.http.post import Poster
from paddock.services import s3, sns
from paddock.services.s3 import BucketTarget, Sweeper

SNS_CERTIFICATE = "/_paddock/sns-certificate.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventServices:
    """The services whose changes are events: S3 and SNS. documents: what receivers of events may fetch, by path."""

    s3: s3.Desk
    sns: sns.Desk
    documents: Mapping[str, bytes]
    sweeper: Sweeper

    @classmethod
    async def open(cls, start: Start, on: Foundation, event_mode: EventMode) -> EventServices:
        home, outbox = start.config.data_dir / "server", event_mode.outbox
        notary, handed = await FileNotary.open(home / "sns", on.clock.now()), {"clock": on.clock, "ids": on.ids}
        topics = await sns.Desk.open(
            store=on.store,
            **handed,
            outbox=outbox.put,
            notary=notary,
            base_url=start.endpoint,
            certificate_url=start.endpoint + SNS_CERTIFICATE,
        )
        target = sns.SnsTarget(topics, Poster())
        event_mode.targets.add("sns", target.send, target.check)

        buckets = await s3.Desk.open(
            store=on.store,
            segments=await FileSegments.open(home / "objects", lambda: on.ids.hex(32)),
            **handed,
            outbox=outbox.put,
            check_target=event_mode.targets.check,
        )
        records = BucketTarget(buckets, on.ids)
        event_mode.targets.add("s3", records.send, records.check)
        return cls(s3=buckets, sns=topics, documents={SNS_CERTIFICATE: notary.certificate}, sweeper=Sweeper(buckets))

    def desks(self) -> dict[str, Any]:
        return {"s3": self.s3, "sns": self.sns}
