"""Words for codes that stand in rows: verbs of acts, kinds of jobs, stages. A code without a word stands for itself.

Upper apps add theirs with ``register`` from ``AppConfig.ready``.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.utils.translation import gettext_lazy as _

_words: dict[str, Any] = {
    "job.enqueue": _("started a job"),
    "job.cancel": _("cancelled a job"),
    "console.add": _("created"),
    "console.change": _("changed"),
    "console.delete": _("deleted"),
    "console.import": _("imported a table"),
    "console.export": _("exported a table"),
    "people.create": _("created an account"),
    "people.grant": _("gave a role"),
    "people.revoke": _("took a role away"),
    "people.disable": _("disabled an account"),
    "people.enable": _("enabled an account"),
    "people.rename": _("renamed an account"),
    "people.set_password": _("set a password"),
    "people.set_up_second_factor": _("set up the second factor"),
    "people.remove_second_factor": _("removed the second factor"),
    "rule.publish": _("published a rule version"),
    "rule.draft": _("drafted a rule version"),
    "simulation.start": _("simulated a rule"),
    "simulation.export": _("exported a simulation"),
    "simulate": _("simulating"),
    "guide.login": _("logged in on a phone"),
    "guide.login_code": _("had a login code printed"),
    "member.reveal": _("revealed a mobile number"),
    "member.lookup": _("looked a mobile number up"),
    "upload.store": _("uploaded a file"),
    "upload.errors": _("downloaded an error file"),
    "upload.delete": _("deleted an uploaded file"),
    "event.replay": _("replayed a channel event"),
    "job.start": _("started a job"),
    "guides.record": _("recorded the list of guides"),
    "stores.record": _("recorded the list of stores"),
    "import_stores": _("stores"),
    "import_guides": _("guides"),
    "import_members": _("members"),
    "import_orders": _("orders"),
    "import_refunds": _("refunds"),
    "make_sample": _("the sample company"),
    "binding.assign": _("assigned a member to a guide"),
    "delegation.open": _("recorded a leave"),
    "generate": _("making up the sample"),
    "figures": _("counting the figures"),
    "facts": _("reckoning what members buy"),
    "read": _("reading the file"),
    "check": _("checking every row"),
    "write": _("writing"),
    "merge": _("writing"),
    "decide": _("deciding and posting"),
    "bind": _("binding members to guides"),
    "summary.created": _("created"),
    "summary.updated": _("updated"),
    "summary.unchanged": _("unchanged"),
    "summary.exact_duplicate": _("exact repeats"),
    "summary.tags_added": _("tags added"),
    "summary.tiers_created": _("tiers created"),
    "summary.points_opened": _("points openings"),
    "summary.identities_added": _("identities added"),
    "summary.bindings_opened": _("bindings opened"),
    "summary.bindings_kept": _("bindings that stay as they are"),
    "summary.stores": _("stores"),
    "summary.entities_created": _("legal entities created"),
    "summary.regions_created": _("regions created"),
    "summary.moved": _("moved to another store"),
    "summary.left": _("have left"),
    "summary.returned": _("have returned"),
    "summary.corrected": _("corrected"),
    "summary.lines": _("order lines"),
    "summary.orders": _("orders"),
    "summary.refunds": _("refunds"),
    "summary.gmv_fen": _("GMV (yuan)"),
    "summary.refunded_fen": _("refunded amount"),
    "summary.inserted": _("new"),
    "summary.older": _("older than what stands"),
    "summary.repeated": _("repeats"),
    "summary.parked": _("parked"),
    "summary.refused": _("refused"),
    "summary.applied": _("applied"),
    "summary.waiting": _("waiting for its order"),
    "summary.two_members": _("card and number of two members"),
    "summary.refunds_applied": _("waiting refunds applied"),
    "summary.decided": _("lines decided"),
    "summary.posted": _("transactions posted"),
    "summary.superseded": _("decisions replaced"),
    "REFUND": _("refund"),
    "VERSION": _("new version of the line"),
    "BUYER_RECOGNISED": _("the buyer was recognised later"),
    "RISK_MARKED": _("a risk mark was set"),
    "RISK_CLEARED": _("the risk mark was cleared"),
    "ELIGIBLE_AGAIN": _("the line became eligible again"),
}
_columns: dict[str, Any] = {}


def register(words: dict[str, Any]) -> None:
    _words.update(words)


def register_columns(columns: dict[str, Any]) -> None:
    """Labels of import columns by their names."""
    _columns.update(columns)


def verb_text(code: str) -> str:
    return str(_words.get(code, code))


kind_text = stage_text = verb_text


def reason_text(reason: str) -> str:
    """``REFUND C1`` → ``退款 C1``: a code with what it refers to."""
    code, _space, rest = reason.partition(" ")
    return f"{verb_text(code)} {rest}".strip() if code else ""


def column_text(name: str) -> str:
    return str(_columns.get(name, name))


def problem_text(code: str) -> str:
    from scrm.copyin import problems

    return problems.message(code)


def target_text(label: str, key: str) -> str:
    """``members.Member``, ``12`` → ``会员 12``."""
    try:
        name = str(apps.get_model(label)._meta.verbose_name)
    except (LookupError, ValueError):
        name = verb_text(label)
    return f"{name} {key}".strip()
