"""EventBridge: buses, rules, targets and events."""

from paddock.services.events import archives, buses, entries, replays, rules, tags, targets
from paddock.services.events.desk import Desk
from paddock.services.events.not_yet import NOT_YET
from paddock.services.service import Service

SERVICE = Service(name="events", modules=(buses, rules, targets, entries, tags, archives, replays), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk"]
