"""SQS: queues, standard and FIFO, kept in the catalogue's own database."""

from paddock.services.service import Service
from paddock.services.sqs import moving, queues, receiving, sending
from paddock.services.sqs.desk import Desk
from paddock.services.sqs.moving import Mover
from paddock.services.sqs.not_yet import NOT_YET
from paddock.services.sqs.sending import send

SERVICE = Service(
    name="sqs",
    modules=(queues, sending, receiving, moving),
    not_yet=NOT_YET,
    self_limited=frozenset({"ReceiveMessage"}),
)

__all__ = ["SERVICE", "Desk", "Mover", "send"]
