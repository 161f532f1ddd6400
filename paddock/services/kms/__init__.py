"""KMS: symmetric keys, their aliases, and what is encrypted with them."""

from paddock.services.kms import aliases, cryptography, keys
from paddock.services.kms.desk import Desk
from paddock.services.kms.not_yet import NOT_YET
from paddock.services.service import Service

SERVICE = Service(name="kms", modules=(keys, aliases, cryptography), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk"]
