"""What the sandbox keeps (沙箱的数据): plain values that name each other by id.

Member ids in ``userid`` are in lower case everywhere but in ``Member``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SELF, SYNC, MINI = "self", "sync", "mp"  # kinds of apps
ACTIVE, DISABLED, NOT_ACTIVATED, LEFT = 1, 2, 4, 5  # WeCom's numbers
WECHAT, WECOM = 1, 2  # kinds of contacts, WeCom's numbers
ROOT = 1


@dataclass(slots=True)
class Receiver:
    """Where an app hears of events. Only an address that answered the verification is called."""

    url: str
    token: str
    aes_key: str
    is_active: bool = False
    error: str = ""


@dataclass(slots=True)
class App:
    """``visible`` None: the whole company; else department ids and, in lower case, member ids."""

    agent_id: int | None
    secret: str
    kind: str = SELF
    name: str = ""
    is_callable: bool = True  # listed among the apps that may call the customer contact endpoints
    visible_departments: tuple[int, ...] | None = None
    visible_userids: tuple[str, ...] = ()
    trusted_ips: tuple[str, ...] = ()  # empty: every address
    is_disabled: bool = False
    hides_sensitive: bool = True  # made after 2022-06-20
    receiver: Receiver | None = None


@dataclass(slots=True)
class Department:
    id: int
    name: str
    parent_id: int
    order: int = 0
    leaders: tuple[str, ...] = ()


@dataclass(slots=True)
class Follow:
    """A member and a customer who are friends; removed when the member deletes, kept when only the customer does."""

    userid: str  # lower case
    external_userid: str
    number: int  # grows with every friendship: the order of lists
    created_at: int
    add_way: int = 0
    state: str = ""
    oper_userid: str = ""
    remark: str = ""
    tag_ids: tuple[str, ...] = ()
    chatted_at: int = 0  # 0: they have not written yet
    customer_left_at: int = 0
    more: dict[str, Any] | None = None  # description, remark_mobiles, remark_corp_name, personal_tags, wechat_channels


@dataclass(slots=True)
class Member:
    userid: str
    name: str
    departments: tuple[int, ...] = (ROOT,)
    position: str = ""
    alias: str = ""
    leads: tuple[int, ...] = ()
    direct_leaders: tuple[str, ...] = ()
    mobile: str = ""
    email: str = ""
    gender: str = "0"
    status: int = ACTIVE
    is_real_name: bool = True
    has_feature: bool = True  # customer contact (客户联系)
    has_own_welcome: bool = False  # configured in WeCom's console: events carry no welcome code
    last_login_at: int = 0
    left_at: int = 0
    follows: dict[str, Follow] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        return self.userid.lower()


@dataclass(slots=True)
class Contact:
    external_userid: str
    name: str
    unionid: str = ""
    type: int = WECHAT
    gender: int = 0
    corp_name: str = ""  # type 2 only
    followers: tuple[str, ...] = ()  # lower-case member ids


@dataclass(slots=True)
class Approach:
    """Somebody asked to be a friend. ``is_half``: the member has verification off and has yet to confirm."""

    userid: str
    external_userid: str
    at: int
    add_way: int
    state: str
    oper_userid: str
    is_half: bool
    welcome_code: str = ""
    more: dict[str, Any] | None = None


@dataclass(slots=True)
class Tag:
    id: str
    group_id: str
    name: str
    order: int
    created_at: int
    creator: int | None  # the app's agent id; None: WeCom's console
    is_deleted: bool = False


@dataclass(slots=True)
class TagGroup:
    id: str
    name: str
    order: int
    created_at: int
    creator: int | None
    is_deleted: bool = False


@dataclass(slots=True)
class Way:
    """A contact way; ``extra`` holds the rarer parameters as they were given."""

    config_id: str
    type: int
    scene: int
    created_at: int
    creator: int | None
    style: int = 0
    remark: str = ""
    skip_verify: bool = True
    state: str = ""
    users: tuple[str, ...] = ()
    parties: tuple[int, ...] = ()
    is_temp: bool = False
    served: int = 0  # friends it brought
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class WelcomeCode:
    code: str
    userid: str
    external_userid: str
    at: float
    is_used: bool = False


@dataclass(slots=True)
class Delivery:
    """One event on its way to one app."""

    agent_id: int | None
    state: str = "waiting"  # waiting, delivered, refused, failed, dropped, no receiver
    attempts: int = 0
    error: str = ""


@dataclass(slots=True)
class Event:
    number: int
    at: int
    event: str
    change_type: str
    about: str  # events about the same thing are sent one after the other
    xml: str
    deliveries: list[Delivery] = field(default_factory=list)


@dataclass(slots=True)
class Sent:
    """What reached a customer or a member: a welcome, a mass-sent message, an app message."""

    kind: str
    at: int
    userid: str
    to: str
    content: dict[str, Any]


@dataclass(slots=True, order=True)
class Job:
    at: float
    number: int
    name: str = field(compare=False)
    values: dict[str, Any] = field(compare=False, default_factory=dict)


# --- groups


@dataclass(slots=True)
class GroupMember:
    """``userid`` is a member's, in lower case, or an external_userid."""

    userid: str
    is_staff: bool
    joined_at: int
    join_scene: int  # as groupchat/get counts
    inviter: str = ""
    state: str = ""
    nickname: str = ""


@dataclass(slots=True)
class Group:
    """``shown``: what is told of it until ``shown_until``, when a change is too fresh to be seen."""

    chat_id: str
    name: str
    owner: str
    created_at: int
    notice: str = ""
    members: dict[str, GroupMember] = field(default_factory=dict, repr=False)
    admins: tuple[str, ...] = ()
    status: int = 0
    shown: dict[str, Any] | None = None
    shown_until: float = 0.0
    transferred_at: tuple[int, ...] = ()
    talk: dict[str, dict[str, int]] = field(default_factory=dict)  # by day: who wrote how much


@dataclass(slots=True)
class JoinWay:
    config_id: str
    scene: int
    created_at: int
    creator: int | None
    chat_ids: tuple[str, ...]
    remark: str = ""
    makes_groups: bool = True
    base_name: str = ""
    base_number: int = 1
    next_number: int = 1
    state: str = ""
    served: int = 0


@dataclass(slots=True)
class GroupWelcome:
    template_id: str
    creator: int | None
    content: dict[str, Any]


# --- what is sent


@dataclass(slots=True)
class MassTask:
    """One guide's part: ``results`` by target, WeCom's number and the moment."""

    userid: str
    targets: tuple[str, ...]
    sent_at: int = 0
    results: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class MassSend:
    msgid: str
    is_group: bool
    created_at: float
    content: dict[str, Any]
    allow_select: bool
    tasks: dict[str, MassTask] = field(default_factory=dict)
    is_cancelled: bool = False
    reminded_at: tuple[float, ...] = ()


@dataclass(slots=True)
class MomentTask:
    userid: str
    chosen: tuple[str, ...]
    published_at: int = 0
    audience: tuple[str, ...] = ()
    comments: tuple[tuple[str, int], ...] = ()  # who and when
    likes: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Moment:
    """``job``: the result of the job that made it."""

    moment_id: str
    jobid: str
    created_at: float
    content: dict[str, Any]
    is_public: bool
    job: dict[str, Any]
    tasks: dict[str, MomentTask] = field(default_factory=dict)
    is_cancelled: bool = False
    creator: str = ""  # of a member's own one


@dataclass(slots=True)
class AppMessage:
    msgid: str
    agent_id: int | None
    at: float
    to: tuple[str, ...]
    content: dict[str, Any]
    response_code: str = ""
    is_recalled: bool = False
    is_changed: bool = False  # its buttons were replaced


# --- transfers, links, what was done


@dataclass(slots=True)
class Transfer:
    external_userid: str
    handover: str
    takeover: str
    status: int
    takeover_at: int
    started_at: int
    was_resigned: bool


@dataclass(slots=True)
class Link:
    link_id: str
    name: str
    url: str
    created_at: int
    creator: int | None
    users: tuple[str, ...] = ()
    parties: tuple[int, ...] = ()
    skip_verify: bool = True
    priority: dict[str, Any] | None = None
    served: int = 0
    clicks: dict[str, int] = field(default_factory=dict)  # by day
    added: dict[str, int] = field(default_factory=dict)
    customers: tuple[tuple[str, str, str], ...] = ()  # external_userid, userid, state


@dataclass(slots=True)
class Activity:
    """What one member did with customers on one day."""

    new_apply: int = 0
    new_contact: int = 0
    messages: int = 0
    negative: int = 0
    chats: dict[str, int] = field(default_factory=dict)  # customers she wrote to
    asked: dict[str, float] = field(default_factory=dict)  # customers who wrote first, and when
    answered: dict[str, float] = field(default_factory=dict)  # seconds until she answered
