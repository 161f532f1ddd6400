"""SNS: topics, subscriptions, messages."""

from paddock.services.service import Service
from paddock.services.sns import publishing, subscriptions, topics
from paddock.services.sns.desk import Desk
from paddock.services.sns.not_yet import NOT_YET
from paddock.services.sns.target import SnsTarget

SERVICE = Service(name="sns", modules=(topics, subscriptions, publishing), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk", "SnsTarget"]
