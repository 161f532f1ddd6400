"""IAM: roles and policies, stored and validated. Enforcing them is a later piece of work of its own."""

from paddock.services.iam import policies, policy_tags, role_policies, roles
from paddock.services.iam.assumable import Roles
from paddock.services.iam.desk import Desk
from paddock.services.iam.managed import load_managed
from paddock.services.iam.not_yet import NOT_YET
from paddock.services.service import Service

SERVICE = Service(name="iam", modules=(roles, role_policies, policies, policy_tags), not_yet=NOT_YET)

__all__ = ["SERVICE", "Desk", "Roles", "load_managed"]
