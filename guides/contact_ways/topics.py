"""What WeCom is asked to do with codes, and what follows from its answers."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from guides.models import ContactWay, StrayWay
from scrm.models import Corp, WecomApp
from scrm.wecom import contact_ways as endpoint
from scrm.wecom import corps, errors, outbox
from scrm.wecom.outbox import Intent, Verdict

CREATE, UPDATE, DELETE, DELETE_STRAY = (
    "contact_way.create",
    "contact_way.update",
    "contact_way.delete",
    "stray_way.delete",
)
QUOTA_PAUSE = dt.timedelta(hours=1)  # after WeCom has said that the corp has no more codes
LOOK_BACK = dt.timedelta(hours=1)  # WeCom's clock against ours
TEXT_CHARS = 300
UNKNOWN_CONFIG = 41044

Status = ContactWay.Status


def register() -> None:
    """Making a code is never repeated blindly: a lost answer is looked for by our state."""
    outbox.register(CREATE, send=_create, settle=_created, reconcile=_find, is_repeatable=False)
    outbox.register(UPDATE, send=_update, settle=_updated, is_repeatable=True)
    outbox.register(DELETE, send=_delete, settle=_deleted, is_repeatable=True)
    outbox.register(DELETE_STRAY, send=_delete_stray, settle=_deleted_stray, is_repeatable=True)


def record(way_id: int) -> str:
    """Messages about one code go one after the other."""
    return f"contact_way {way_id}"


# --- creating ---------------------------------------------------------------------------------------------------------


def _create(intent: Intent) -> dict[str, Any]:
    app, wish = corps.app_of(intent.corp), intent.payload
    now = timezone.now()
    _wait_for_quota(intent.corp, now)
    try:
        made = _ask(app, wish)
    except errors.QuotaExhausted as error:
        # this one and all behind it wait until something is deleted; nothing fails
        ContactWay.objects.filter(pk=wish["way"]).update(
            error_code=error.code, error_text=error.message[:TEXT_CHARS], failed_at=now
        )
        raise errors.RateLimited(error.endpoint, error.errcode, retry_at=now + QUOTA_PAUSE) from None
    return {"config_id": made.config_id, "qr_code": made.qr_code}


def _ask(app: WecomApp, wish: dict[str, Any]) -> endpoint.Made:
    common = {"state": wish["state"], "skip_verify": wish["skip_verify"], "remark": wish["name"]}
    if wish["is_multi"]:
        return endpoint.add_multi(app, userids=wish["userids"], **common)
    (userid,) = wish["userids"]
    return endpoint.add_single(app, userid=userid, **common)


def _wait_for_quota(corp: Corp, now: dt.datetime) -> None:
    """WeCom has just said that there are no more: it is asked again once an hour, not for every waiting code."""
    full = ContactWay.objects.filter(
        corp=corp, status=Status.CREATING, error_code=errors.QuotaExhausted.code, failed_at__gt=now - QUOTA_PAUSE
    )
    failed_at = full.order_by("-failed_at").values_list("failed_at", flat=True).first()
    if failed_at is not None:
        raise errors.RateLimited(CREATE, retry_at=failed_at + QUOTA_PAUSE)


def _find(intent: Intent) -> Verdict:
    """Whether a code with our state was made: among those of the time since that no row of ours names."""
    app = corps.app_of(intent.corp)
    listed = set(endpoint.ids(app, since=intent.created_at - LOOK_BACK, until=timezone.now() + LOOK_BACK))
    known = ContactWay.objects.filter(config_id__in=listed).values_list("config_id", flat=True)
    for config_id in sorted(listed - set(known)):
        try:
            found = endpoint.get(app, config_id)
        except errors.NotFound:  # deleted meanwhile
            continue
        if found.state == intent.payload["state"]:
            return Verdict.done({"config_id": found.config_id, "qr_code": found.qr_code})
    return Verdict.NOT_DONE


def _created(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    from guides.contact_ways import making

    way, now = ContactWay.objects.select_for_update().get(pk=intent.payload["way"]), timezone.now()
    if answer is None:
        if way.status == Status.CREATING:
            _fail(way, error, now)
        return
    if way.config_id not in (None, answer["config_id"]):  # made twice by people: the second one is nobody's
        StrayWay.objects.get_or_create(
            config_id=answer["config_id"],
            defaults={
                "corp": intent.corp, "state": way.state, "remark": way.name, "qr_code": answer["qr_code"], "way": way,
                "found_at": now,
            },
        )  # fmt: skip
        return
    way.config_id, way.qr_code = answer["config_id"], answer["qr_code"]
    way.live_userids, way.live_at = intent.payload["userids"], now
    way.error_code, way.error_text, way.failed_at = "", "", None
    is_wanted = way.status != Status.RETIRED
    way.status = Status.LIVE if is_wanted else Status.RETIRED
    way.save()
    if not is_wanted:
        making.enqueue_delete(way, actor=None, now=now)
    elif way.version != intent.payload["version"]:
        making.enqueue_update(way, actor=None, now=now)


# --- changing ---------------------------------------------------------------------------------------------------------


def _update(intent: Intent) -> dict[str, Any]:
    wish = intent.payload
    endpoint.update(
        corps.app_of(intent.corp),
        config_id=wish["config_id"],
        skip_verify=wish["skip_verify"],
        remark=wish["name"],
        state=wish["state"],
        userids=wish["userids"],
    )
    return {}


def _updated(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    way, now = ContactWay.objects.select_for_update().get(pk=intent.payload["way"]), timezone.now()
    if answer is not None:
        way.live_userids, way.error_code, way.error_text, way.failed_at = intent.payload["userids"], "", "", None
    elif error is not None:
        way.error_code, way.error_text, way.failed_at = error.code, error.message[:TEXT_CHARS], now
        if isinstance(error, errors.NotFound) and error.errcode == UNKNOWN_CONFIG:
            way.missing_at = way.missing_at or now
    way.save()


def _fail(way: ContactWay, error: errors.WecomError | None, now: dt.datetime) -> None:
    way.status, way.failed_at = Status.FAILED, now
    way.error_code, way.error_text = (error.code, error.message[:TEXT_CHARS]) if error else ("", "")
    way.save()


# --- deleting ---------------------------------------------------------------------------------------------------------


def _delete(intent: Intent) -> dict[str, Any]:
    app = corps.app_of(intent.corp)
    try:
        endpoint.delete(app, intent.payload["config_id"])
    except errors.NotFound:  # gone already
        return {}
    return {}


def _deleted(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    way = ContactWay.objects.select_for_update().get(pk=intent.payload["way"])
    if answer is not None:
        way.missing_at, way.error_code, way.error_text = timezone.now(), "", ""
        _release_waiting(intent.corp)
    elif error is not None:
        way.error_code, way.error_text = error.code, error.message[:TEXT_CHARS]
    way.save()


_delete_stray = _delete


def _deleted_stray(intent: Intent, answer: dict[str, Any] | None, error: errors.WecomError | None) -> None:
    stray = StrayWay.objects.select_for_update().get(pk=intent.payload["stray"])
    stray.status = StrayWay.Status.DELETED if answer is not None else StrayWay.Status.OPEN
    stray.error_text = error.message[:TEXT_CHARS] if error is not None else ""
    stray.save()
    if answer is not None:
        _release_waiting(intent.corp)


def _release_waiting(corp: Corp) -> None:
    """There is room again: whoever waits for it need not wait for the hour."""
    ContactWay.objects.filter(corp=corp, status=Status.CREATING, error_code=errors.QuotaExhausted.code).update(
        failed_at=None
    )
