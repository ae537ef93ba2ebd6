"""Welcome messages (欢迎语): one message into a chat that has just begun.

1. The code comes with the event, holds for 20 seconds and works once, for whichever app comes first.
2. WelcomeMissed is final: they are chatting, another app was first, the code is too old, or the customer has not agreed
   to the archive. Busy (41096: another app is sending right now) is tried again at once.
3. Media must have been uploaded before the event comes.
"""

from __future__ import annotations

from collections.abc import Sequence

from scrm.models import WecomApp
from scrm.wecom import attachments as parts
from scrm.wecom import bounds, client

CODE_SECONDS = 20

_SEND = client.create("externalcontact/send_welcome_msg")


def send(app: WecomApp, *, code: str, text: str = "", attachments: Sequence[parts.Attachment] = ()) -> None:
    """``text`` up to 4000 bytes, up to 9 attachments; one of them must be there. WelcomeMissed when it is too late."""
    bounds.present(_SEND.path, "welcome_code", code)
    client.call(app, _SEND, {"welcome_code": code, **parts.message(_SEND.path, text, attachments)})
