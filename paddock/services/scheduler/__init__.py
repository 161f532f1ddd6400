"""EventBridge Scheduler: schedules and their groups."""

from paddock.services.scheduler import groups, schedules
from paddock.services.scheduler.desk import Desk
from paddock.services.service import Service

SERVICE = Service(name="scheduler", modules=(groups, schedules), not_yet=frozenset())

__all__ = ["SERVICE", "Desk"]
