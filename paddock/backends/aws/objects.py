"""Objects at an external, S3-compatible endpoint: interfaces.ObjectReader."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError

from paddock.backends.aws.api import AwsApi
from paddock.model.errors import ClientError, ServiceError


class AwsObjects:
    """api: of s3. region: where its buckets are asked for. The credentials say whose they have to be, not `account`."""

    def __init__(self, api: AwsApi, region: str) -> None:
        self._api = api
        self._region = region

    async def read(self, account: str, bucket: str, key: str, version_id: str, bytes_max: int) -> bytes:
        """Raises ServiceError with S3's code, EntityTooLarge before a byte is read, ServiceUnavailable."""
        params = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}
        answer = await self._api("GetObject", params, account=account, region=self._region)
        body = answer["Body"]
        if answer["ContentLength"] > bytes_max:
            body.close()
            raise ClientError(f"The object is larger than {bytes_max} bytes.", code="EntityTooLarge")
        try:
            content: bytes = await self._api.in_thread(body.read)
        except (BotoCoreError, OSError) as error:
            raise ServiceError(str(error), code="ServiceUnavailable", status=503) from error
        return content
