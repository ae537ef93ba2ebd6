from scrm.models.audit import Act
from scrm.models.exports import ExportRequest
from scrm.models.idempotency import IdempotentAnswer
from scrm.models.jobs import Job, JobProblem, Upload
from scrm.models.org import Brand, Grant, LegalEntity, Region, Role, Store, User
from scrm.models.tokens import DeviceToken
from scrm.models.wecom import Corp, WecomApp, WecomCheck, WecomPace, WecomTicket, WecomToken
from scrm.models.wecom_group_ways import GroupWay
from scrm.models.wecom_inbox import CallbackEndpoint, InboxEvent
from scrm.models.wecom_outbox import OutboxMessage

__all__ = [
    "Act", "Brand", "CallbackEndpoint", "Corp", "DeviceToken", "ExportRequest", "Grant", "GroupWay", "IdempotentAnswer", "InboxEvent", "Job", "JobProblem",
    "LegalEntity", "OutboxMessage", "Region", "Role", "Store", "Upload", "User", "WecomApp", "WecomCheck", "WecomPace",
    "WecomTicket", "WecomToken",
]  # fmt: skip
