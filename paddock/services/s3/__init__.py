"""S3: buckets and objects, their versions, multipart uploads and settings."""

from paddock.services.s3 import (
    buckets,
    copying,
    cors,
    lifecycle,
    listing,
    multipart,
    notifications,
    objects,
    settings,
    tagging,
)
from paddock.services.s3.desk import Desk
from paddock.services.s3.not_yet import NOT_YET
from paddock.services.s3.reader import ObjectReader
from paddock.services.s3.sweep import Sweeper
from paddock.services.s3.target import BucketTarget
from paddock.services.s3.web import Web
from paddock.services.s3.webhook import PATH as WEBHOOK
from paddock.services.s3.webhook import Webhook
from paddock.services.service import Service

SERVICE = Service(
    name="s3",
    modules=(buckets, objects, copying, multipart, listing, tagging, settings, cors, lifecycle, notifications),
    not_yet=NOT_YET,
    # How long these take is up to their size; the server bounds what a client may idle.
    self_limited=frozenset({"PutObject", "UploadPart", "CopyObject", "UploadPartCopy"}),
)

__all__ = ["SERVICE", "WEBHOOK", "BucketTarget", "Desk", "ObjectReader", "Sweeper", "Web", "Webhook"]
