"""Secrets Manager: secrets in versions with stages, as functions read them."""

from paddock.services.secretsmanager import secrets
from paddock.services.secretsmanager.desk import Desk
from paddock.services.secretsmanager.not_yet import NOT_YET
from paddock.services.service import Service

SERVICE = Service(name="secretsmanager", modules=(secrets,), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk"]
