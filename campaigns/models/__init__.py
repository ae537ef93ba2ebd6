"""Tables of campaigns, one module per topic."""

from campaigns.models.calendar import (
    CalendarAdaptation,
    CalendarCompiled,
    CalendarConflict,
    CalendarDay,
    CalendarEntry,
    CalendarStoreDay,
)
from campaigns.models.chain_orders import ChainItem, ChainLine, ChainOrder, ChainPayment, ChainPerson
from campaigns.models.content import Content, ContentFile, ContentUse, ContentVersion, FileUpload, Folder
from campaigns.models.experiments import Arm, Assignment, Experiment, Holdout, Look
from campaigns.models.flash_sales import Sale, SaleGroup, SaleRefund, SaleStock
from campaigns.models.friend_migration import (
    FriendMigration,
    FriendMigrationGuide,
    FriendMigrationTarget,
    MigratingFriend,
)
from campaigns.models.group_buys import Team, TeamSeat
from campaigns.models.group_notices import GroupNotice, GroupNoticePost
from campaigns.models.group_sends import GroupRecipient
from campaigns.models.group_sops import GroupRun, GroupStepDone
from campaigns.models.groups import Group, GroupStay, GroupSweep
from campaigns.models.groups_entry import GroupTag, GroupTagged, GroupWelcome, JoinWay, JoinWayGroup
from campaigns.models.groups_fleet import GroupPlan, GroupPlanItem
from campaigns.models.groups_health import GroupDay, GroupHealth, GroupSettings
from campaigns.models.groups_invitations import GroupInvitation, Invitee
from campaigns.models.knowledge import Answer, AnswerVote
from campaigns.models.links import LinkDay, LinkHost, ShortLink
from campaigns.models.moments import Moment, MomentMaterial, MomentPost, OwnMomentReading
from campaigns.models.posters import Poster, PosterPicture
from campaigns.models.referrals import Referral, ReferralCount, ReferralLink, ReferralProgramme
from campaigns.models.reservoir import (
    Reservoir,
    ReservoirCase,
    ReservoirEntry,
    ReservoirPlace,
    ReservoirStaff,
    ReservoirStep,
)
from campaigns.models.scenarios import DayRule, Scenario, ScenarioChance, ScenarioDay, ScenarioTurn
from campaigns.models.scripts import Level, Script, ScriptText, ScriptUse
from campaigns.models.sends import ContactBudget, Recipient, Send, SendBatch, SendMaterial
from campaigns.models.sops import Sop, SopRun, SopStep, SopStepDone, SopVersion
from campaigns.models.stock import Reservation, StockBucket, StockBuyer, StockChange, StockItem

__all__ = [
    "Answer",
    "AnswerVote",
    "Arm",
    "Assignment",
    "CalendarAdaptation",
    "CalendarCompiled",
    "CalendarConflict",
    "CalendarDay",
    "CalendarEntry",
    "CalendarStoreDay",
    "ChainItem",
    "ChainLine",
    "ChainOrder",
    "ChainPayment",
    "ChainPerson",
    "ContactBudget",
    "Content",
    "ContentFile",
    "ContentUse",
    "ContentVersion",
    "DayRule",
    "Experiment",
    "FileUpload",
    "Folder",
    "FriendMigration",
    "FriendMigrationGuide",
    "FriendMigrationTarget",
    "Group",
    "GroupDay",
    "GroupHealth",
    "GroupInvitation",
    "GroupNotice",
    "GroupNoticePost",
    "GroupPlan",
    "GroupPlanItem",
    "GroupRecipient",
    "GroupRun",
    "GroupSettings",
    "GroupStay",
    "GroupStepDone",
    "GroupSweep",
    "GroupTag",
    "GroupTagged",
    "GroupWelcome",
    "Holdout",
    "Invitee",
    "JoinWay",
    "JoinWayGroup",
    "Level",
    "LinkDay",
    "LinkHost",
    "Look",
    "MigratingFriend",
    "Moment",
    "MomentMaterial",
    "MomentPost",
    "OwnMomentReading",
    "Poster",
    "PosterPicture",
    "Recipient",
    "Referral",
    "ReferralCount",
    "ReferralLink",
    "ReferralProgramme",
    "Reservation",
    "Reservoir",
    "ReservoirCase",
    "ReservoirEntry",
    "ReservoirPlace",
    "ReservoirStaff",
    "ReservoirStep",
    "Sale",
    "SaleGroup",
    "SaleRefund",
    "SaleStock",
    "Scenario",
    "ScenarioChance",
    "ScenarioDay",
    "ScenarioTurn",
    "Script",
    "ScriptText",
    "ScriptUse",
    "Send",
    "SendBatch",
    "SendMaterial",
    "ShortLink",
    "Sop",
    "SopRun",
    "SopStep",
    "SopStepDone",
    "SopVersion",
    "StockBucket",
    "StockBuyer",
    "StockChange",
    "StockItem",
    "Team",
    "TeamSeat",
]
