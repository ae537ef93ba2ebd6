"""Teams of group buys (拼团): who opened one, who joined, and how it ended (K8, by the database)."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models.flash_sales import Sale
from campaigns.models.stock import Reservation
from guides.models import Guide, Share
from members.models import Member
from scrm.models import Store
from scrm.money import FenField

# A team ends once; the CHECK says that it has succeeded exactly when all have paid.
TEAM_MOVES = """
    IF (to_jsonb(NEW) - ARRAY['status','ended_at','seat_count','paid_count'])
       IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status','ended_at','seat_count','paid_count'])
       OR OLD.status <> 'FORMING' THEN
        RAISE EXCEPTION 'a team ends once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""
# K8: whoever lets a team fail writes the refund of everybody who paid.
TEAM_FAILS = """
    IF NEW.status = 'FAILED' AND OLD.status <> 'FAILED' THEN
        INSERT INTO campaigns_salerefund (reservation_id, store_id, channel, shop, order_no, amount_fen, reason)
        SELECT r.id, r.store_id, r.channel, r.shop, r.order_no, s.paid_fen, 'TEAM_FAILED'
        FROM campaigns_teamseat s JOIN campaigns_reservation r ON r.id = s.reservation_id
        WHERE s.team_id = NEW.id AND s.status = 'PAID';
    END IF;
    RETURN NULL;
"""
SEAT_TAKEN = """
    IF NEW.status <> 'JOINED' THEN
        RAISE EXCEPTION 'a seat begins unpaid' USING ERRCODE = 'check_violation';
    END IF;
    UPDATE campaigns_team SET seat_count = seat_count + 1
    WHERE id = NEW.team_id AND status = 'FORMING' AND seat_count < size AND clock_timestamp() < until;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no seat left' USING ERRCODE = 'check_violation', CONSTRAINT = 'team_open';
    END IF;
    RETURN NULL;
"""
SEAT_MOVES = """
    IF (to_jsonb(NEW) - ARRAY['status','paid_at','paid_fen','left_at','member_id'])
       IS DISTINCT FROM (to_jsonb(OLD) - ARRAY['status','paid_at','paid_fen','left_at','member_id'])
       OR NEW.status <> OLD.status
       AND (OLD.status || '>' || NEW.status) NOT IN ('JOINED>PAID', 'JOINED>LEFT', 'LEFT>PAID')
       OR OLD.status = 'PAID' AND (NEW.paid_at, NEW.paid_fen) IS DISTINCT FROM (OLD.paid_at, OLD.paid_fen) THEN
        RAISE EXCEPTION 'a seat does not go that way' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
"""
# The team's row is the one place where its payments meet: the k-th makes it succeed, in the same statement.
SEAT_FOLLOWED = """
    IF NEW.status = 'PAID' AND OLD.status <> 'PAID' THEN
        UPDATE campaigns_team SET paid_count = paid_count + 1, seat_count = seat_count + (OLD.status = 'LEFT')::int,
            status = CASE WHEN paid_count + 1 = size THEN 'SUCCEEDED' ELSE status END,
            ended_at = CASE WHEN paid_count + 1 = size THEN clock_timestamp() END
        WHERE id = NEW.team_id AND status = 'FORMING' AND (OLD.status = 'JOINED' OR seat_count < size);
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the team is full or over' USING ERRCODE = 'check_violation', CONSTRAINT = 'team_open';
        END IF;
    ELSIF NEW.status = 'LEFT' AND OLD.status = 'JOINED' THEN
        UPDATE campaigns_team SET seat_count = seat_count - 1 WHERE id = NEW.team_id AND status = 'FORMING';
    END IF;
    RETURN NULL;
"""


class Team(models.Model):
    """People who buy together; complete when ``size`` of them have paid."""

    class Status(models.TextChoices):
        FORMING = "FORMING", _("team is forming")
        SUCCEEDED = "SUCCEEDED", _("team is complete")
        FAILED = "FAILED", _("team has failed")

    sale = models.ForeignKey(Sale, models.PROTECT, verbose_name=_("group buy"), related_name="teams", db_index=False)
    code = models.CharField(_("team no."), max_length=12, unique=True)
    store = models.ForeignKey(Store, models.PROTECT, verbose_name=_("store"), related_name="+", db_index=False)
    captain = models.ForeignKey(Member, models.PROTECT, verbose_name=_("opened by"), related_name="+", db_index=False)
    guide = models.ForeignKey(
        Guide, models.PROTECT, verbose_name=_("guide"), null=True, related_name="+", db_index=False
    )
    share = models.ForeignKey(Share, models.PROTECT, null=True, related_name="+", db_index=False)
    size = models.PositiveSmallIntegerField(_("people of a team"))
    status = models.CharField(_("state"), max_length=9, choices=Status, default=Status.FORMING)
    seat_count = models.PositiveSmallIntegerField(_("joined"), default=0)
    paid_count = models.PositiveSmallIntegerField(_("paid"), default=0)
    opened_at = models.DateTimeField(_("opened at"))
    until = models.DateTimeField(_("to be complete until"))
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("team of a group buy")
        verbose_name_plural = _("teams of group buys")
        constraints = (
            models.CheckConstraint(  # K8
                name="team_succeeds_when_paid",
                condition=Q(status="SUCCEEDED", paid_count=F("size"))
                | Q(status__in=["FORMING", "FAILED"], paid_count__lt=F("size")),
            ),
            models.CheckConstraint(
                name="team_seats", condition=Q(seat_count__lte=F("size"), paid_count__lte=F("seat_count"))
            ),
            models.CheckConstraint(
                name="team_ended",
                condition=Q(status="FORMING", ended_at=None) | ~Q(status="FORMING") & Q(ended_at__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=["until"], name="team_forming", condition=Q(status="FORMING")),
            models.Index(fields=["sale", "-id"], name="team_sale"),
        )
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="team_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(name="team_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=TEAM_MOVES),
            pgtrigger.Trigger(name="team_fails", when=pgtrigger.After, operation=pgtrigger.Update, func=TEAM_FAILS),
        )

    @staticmethod
    def scope_q(store_ids: frozenset[int]) -> Q:
        return Q(store_id__in=store_ids)

    def __str__(self) -> str:
        return self.code


class TeamSeat(models.Model):
    """Somebody in a team, with the reservation that she pays for."""

    class Status(models.TextChoices):
        JOINED = "JOINED", _("waiting for payment")
        PAID = "PAID", _("paid")
        LEFT = "LEFT", _("left unpaid")

    team = models.ForeignKey(Team, models.PROTECT, verbose_name=_("team"), related_name="seats", db_index=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), related_name="+", db_index=False)
    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="seat")
    status = models.CharField(_("state"), max_length=6, choices=Status, default=Status.JOINED)
    joined_at = models.DateTimeField(_("joined at"))
    paid_at = models.DateTimeField(_("paid at"), null=True)
    paid_fen = FenField(_("paid amount"), null=True)
    left_at = models.DateTimeField(_("left at"), null=True)

    class Meta:
        verbose_name = _("seat in a team")
        verbose_name_plural = _("seats in teams")
        constraints = (
            models.UniqueConstraint(name="team_member_once", fields=["team", "member"], condition=~Q(status="LEFT")),
            models.CheckConstraint(
                name="seat_paid",
                condition=Q(status="PAID", paid_at__isnull=False, paid_fen__gte=0)
                | ~Q(status="PAID") & Q(paid_at=None, paid_fen=None),
            ),
        )
        indexes = (models.Index(fields=["member", "-id"], name="team_seat_member"),)
        triggers: ClassVar[tuple[pgtrigger.Trigger, ...]] = (
            pgtrigger.Protect(name="seat_stays", operation=pgtrigger.Delete),
            pgtrigger.Trigger(name="seat_moves", when=pgtrigger.Before, operation=pgtrigger.Update, func=SEAT_MOVES),
            pgtrigger.Trigger(name="seat_taken", when=pgtrigger.After, operation=pgtrigger.Insert, func=SEAT_TAKEN),
            pgtrigger.Trigger(
                name="seat_followed", when=pgtrigger.After, operation=pgtrigger.Update, func=SEAT_FOLLOWED
            ),
        )

    def __str__(self) -> str:
        return f"{self.team_id}/{self.member_id}"
