"""The AWS APIs that Paddock answers: one folder each, one entry in SERVICES."""

from __future__ import annotations

from paddock.services import events, iam, kms, lambda_, logs, s3, scheduler, secretsmanager, sns, sqs, ssm, sts
from paddock.services.service import Service

SERVICES: tuple[Service, ...] = (
    lambda_.SERVICE,
    sts.SERVICE,
    iam.SERVICE,
    logs.SERVICE,
    events.SERVICE,
    scheduler.SERVICE,
    sqs.SERVICE,
    kms.SERVICE,
    ssm.SERVICE,
    secretsmanager.SERVICE,
    s3.SERVICE,
    sns.SERVICE,
)
