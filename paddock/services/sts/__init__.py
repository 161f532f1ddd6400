"""STS: who is calling."""

from paddock.services.service import Service
from paddock.services.sts import identity
from paddock.services.sts.identity import Desk
from paddock.services.sts.not_yet import NOT_YET

SERVICE = Service(name="sts", modules=(identity,), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk"]
