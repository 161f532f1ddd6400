"""CloudWatch Logs: groups, streams and events, for `aws logs tail`, the SDKs and Terraform."""

from paddock.services.logs import events, groups, streams
from paddock.services.logs.desk import Desk
from paddock.services.logs.not_yet import NOT_YET
from paddock.services.service import Service

SERVICE = Service(name="logs", modules=(groups, streams, events), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk"]
