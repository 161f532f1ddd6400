"""Systems Manager: parameters, as functions read them."""

from paddock.services.service import Service
from paddock.services.ssm import parameters
from paddock.services.ssm.desk import Desk
from paddock.services.ssm.not_yet import NOT_YET

SERVICE = Service(name="ssm", modules=(parameters,), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk"]
