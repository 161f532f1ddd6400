"""STS: who is calling, and temporary credentials."""

from paddock.services.service import Service
from paddock.services.sts import identity, roles
from paddock.services.sts.desk import Desk
from paddock.services.sts.not_yet import NOT_YET

SERVICE = Service(name="sts", modules=(identity, roles), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk"]
