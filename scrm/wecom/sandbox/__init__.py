"""A WeCom (企业微信) that runs on this machine: what the API documents, answered; what people do there, simulated.

It shares nothing with our client but the protocol, so that one proves the other. ``with Sandbox(seed=1) as box:`` starts one:

1. ``box.api_base`` is WeCom's address; ``box.world`` the company in it, with the acts of its people (``people``) and its own
   clock; ``box.faults`` what goes wrong; ``box.callbacks`` how events are sent.
2. To add an endpoint, write a module in ``endpoints`` (every module there is imported)::

       @endpoint("POST", "externalcontact/remark", CC, record=pair)
       def remark(call: Call) -> dict[str, Any]:
           text = call.text("remark", chars=20)             # parameters first: 40058 and the like
           member, contact, follow = call.friendship()      # then objects: 60111, 40096, 84061
           follow.remark = text
           return {}                                        # without errcode; or raise Refusal(code)

   ``CC`` and the like say whose token is accepted, ``reads=True`` that a POST changes nothing, ``record`` what must not be written
   twice at a time. The handler runs under ``world.lock`` and does no input or output. Lists are paged by ``call.paged``.
3. To keep something new, add a dataclass and a field to ``world.State``; it survives a restart by itself. Something that
   happens later is a ``@job`` and ``world.later(seconds, name, ...)``; what WeCom tells the apps is ``world.emit``.
4. What a person does is a function of the world that raises ``people.Impossible``; ``@act`` puts it on the control page,
   ``@panel`` lists rows there with buttons for acts (examples in ``acts`` and ``panels``).
"""

import importlib
import pkgutil

from scrm.wecom.sandbox import acts, endpoints, groups, links, messages, moments, panels, sends, transfers, visitors
from scrm.wecom.sandbox.records import MINI, SELF, SYNC
from scrm.wecom.sandbox.server import Sandbox, new_world
from scrm.wecom.sandbox.world import World

for _module in pkgutil.iter_modules(endpoints.__path__):
    importlib.import_module(f"{endpoints.__name__}.{_module.name}")

__all__ = [
    "MINI", "SELF", "SYNC", "Sandbox", "World", "acts", "groups", "links", "messages", "moments", "new_world", "panels", "sends",
    "transfers", "visitors",
]  # fmt: skip
