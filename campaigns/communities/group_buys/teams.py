"""Teams: opened, joined, paid, ended."""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from campaigns.communities import stock
from campaigns.communities.flash_sales import claiming
from campaigns.communities.flash_sales.claiming import Brought, Claim
from campaigns.communities.flash_sales.refusals import SaleRefused
from campaigns.models import Reservation, Sale, Team, TeamSeat
from guides import bindings
from scrm import db

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CODE_LENGTH = 10
AT_ONCE = 200
TEAM_OPEN, MEMBER_ONCE = "team_open", "team_member_once"
Status, Seat = Team.Status, TeamSeat.Status


class TeamOver(SaleRefused):
    """The team is full, or has ended."""


@dataclass(frozen=True, slots=True)
class Opened:
    team: Team
    seat: TeamSeat
    is_new: bool


@transaction.atomic
def open_team(*, said: Claim, now: dt.datetime) -> Opened:
    """A new team with its captain's seat. Raises SaleRefused, stock.StockRefused, StockShort, StockBusy, KeyDiffers."""
    sale = claiming.require_sale(said.sale_id, Sale.Kind.GROUP)
    before = _before(said)
    if before is not None:
        return before
    claiming.require_buyer(sale, said.member_id)
    _require_one(said)
    brought = claiming.brought_by(said, now)
    made = stock.claim(wanted=claiming.wanted(sale, said, brought), key=said.key)
    if not made.is_new:
        return _again(made.reservation)
    at = made.reservation.held_at
    assert sale.team_size is not None and sale.team_hours is not None
    team = Team.objects.create(
        sale=sale, code="".join(secrets.choice(ALPHABET) for _sign in range(CODE_LENGTH)), store_id=said.store_id,
        captain_id=said.member_id, guide_id=brought.guide_id, share=brought.share, size=sale.team_size, opened_at=at,
        until=at + dt.timedelta(hours=sale.team_hours),
    )  # fmt: skip
    seat = TeamSeat.objects.create(team=team, member_id=said.member_id, reservation=made.reservation, joined_at=at)
    claiming.touch(sale, made.reservation, said, brought)
    team.refresh_from_db()
    return Opened(team, seat, True)


@transaction.atomic
def join(*, code: str, said: Claim, now: dt.datetime) -> Opened:
    """A seat in a team that forms. Raises TeamOver, SaleRefused, stock.StockRefused, StockShort, StockBusy, KeyDiffers."""
    before = _before(said)
    if before is not None:
        return before
    team = _locked_code(code)
    sale = claiming.require_sale(team.sale_id, Sale.Kind.GROUP)
    said = dataclasses.replace(said, sale_id=sale.pk, store_id=team.store_id)
    claiming.require_buyer(sale, said.member_id)
    _require_one(said)
    _require_open(team, said.member_id, db.clock())
    brought = _brought(team, said, now)
    made = stock.claim(wanted=claiming.wanted(sale, said, brought), key=said.key)
    if not made.is_new:
        return _again(made.reservation)
    try:
        with transaction.atomic():
            seat = TeamSeat.objects.create(
                team=team, member_id=said.member_id, reservation=made.reservation, joined_at=made.reservation.held_at
            )
    except IntegrityError as error:
        if stock.constraint_of(error) == TEAM_OPEN:
            raise _over(team) from None
        if stock.constraint_of(error) == MEMBER_ONCE:
            raise _twice() from None
        raise
    claiming.touch(sale, made.reservation, said, brought)
    team.refresh_from_db()
    return Opened(team, seat, True)


def _before(said: Claim) -> Opened | None:
    """The seat that this key has made; locks nothing, so that the team is locked before the reservation."""
    row = Reservation.objects.filter(key=said.key).first()
    if row is None:
        return None
    if row.member_id != said.member_id:
        raise stock.KeyDiffers(_("This request number was used for something else; send a new one."))
    return _again(row)


def _again(reservation: Reservation) -> Opened:
    seat = TeamSeat.objects.select_related("team").filter(reservation=reservation).first()
    if seat is None:
        raise stock.KeyDiffers(_("This request number was used for something else; send a new one."))
    return Opened(seat.team, seat, False)


def _require_one(said: Claim) -> None:
    if said.quantity != 1:
        raise SaleRefused(_("A seat in a team is one piece."), code="team_one_piece", field="quantity")


def _require_open(team: Team, member_id: int, now: dt.datetime) -> None:
    if team.status != Status.FORMING or now >= team.until:
        raise _over(team)
    if team.seats.exclude(status=Seat.LEFT).filter(member=member_id).exists():
        raise _twice()
    if team.seat_count >= team.size:
        raise TeamOver(
            _("All seats of this team are taken; open a team of your own or try again when somebody has not paid."),
            code="team_full", field="team",
        )  # fmt: skip


def _over(team: Team) -> TeamOver:
    if team.status == Status.SUCCEEDED:
        return TeamOver(_("This team is complete; open a team of your own."), code="team_complete", field="team")
    return TeamOver(_("The time of this team is over; open a team of your own."), code="team_over", field="team")


def _twice() -> SaleRefused:
    return SaleRefused(
        _("She is in this team already; everybody has one seat."), code="team_member_twice", field="member"
    )


def _brought(team: Team, said: Claim, now: dt.datetime) -> Brought:
    """By her own link or guide, else by the team's, whose leader brought her through the captain."""
    own = claiming.brought_by(said, now)
    if own.share is not None or own.guide_id is not None or (team.share_id is None and team.guide_id is None):
        return own
    guide_id = team.guide_id
    if guide_id is not None and bindings.store_id_at(guide_id, now) is None:
        guide_id = None  # she has left; her link still leads here
    return Brought(guide_id, team.share)


def _locked_code(code: str) -> Team:
    rows = db.lock(Team.objects.filter(code=code.strip().upper()))
    if not rows:
        raise TeamOver(_("There is no such team; look at the number."), code="team_unknown", field="team")
    found: Team = rows[0]
    return found


# --- payment ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def pay(*, seat_id: int, paid_at: dt.datetime, paid_fen: int) -> Team:
    """The seat is paid; the k-th one completes the team. Again: the same. Raises TeamOver, stock.StockShort, StockBusy."""
    seat = TeamSeat.objects.get(pk=seat_id)
    (team,) = db.lock(Team.objects.filter(pk=seat.team_id))
    (seat,) = db.lock(TeamSeat.objects.filter(pk=seat_id))
    if seat.status == Seat.PAID:
        found: Team = team
        return found
    stock.confirm(reservation_id=seat.reservation_id, paid_at=paid_at)
    seat.status, seat.paid_at, seat.paid_fen, seat.left_at = Seat.PAID, paid_at, paid_fen, None
    try:
        with transaction.atomic():
            seat.save(update_fields=["status", "paid_at", "paid_fen", "left_at"])
    except IntegrityError as error:
        if stock.constraint_of(error) == TEAM_OPEN:
            raise _over(team) from None
        if stock.constraint_of(error) == MEMBER_ONCE:  # she left, joined again, and now pays for both
            raise _twice_paid() from None
        raise
    team.refresh_from_db()
    return team


def _twice_paid() -> TeamOver:
    return TeamOver(
        _("She has another seat in this team; the money goes back."), code="team_member_twice", field="member"
    )


# --- ends -------------------------------------------------------------------------------------------------------------

# A seat whose payment may still be heard of keeps its team open for the minutes of grace; a stopped sale ends its teams at once.
_DUE = """
    SELECT t.id FROM campaigns_team t JOIN campaigns_sale s ON s.id = t.sale_id
    WHERE t.status = 'FORMING' AND (t.until <= clock_timestamp() OR s.status = 'STOPPED') AND NOT (
        t.until > clock_timestamp() - %(grace)s::interval AND (s.stopped_at IS NULL OR s.stopped_at > clock_timestamp() - %(grace)s::interval)
        AND EXISTS (
            SELECT 1 FROM campaigns_teamseat x JOIN campaigns_reservation r ON r.id = x.reservation_id
            WHERE x.team_id = t.id AND x.status = 'JOINED' AND r.status = 'HELD' AND r.order_no <> ''))
    ORDER BY t.id LIMIT %(limit)s
"""
_UNPAID = """
    SELECT x.id FROM campaigns_teamseat x JOIN campaigns_reservation r ON r.id = x.reservation_id
    WHERE x.status = 'JOINED' AND r.status IN ('EXPIRED', 'RELEASED') ORDER BY x.team_id, x.id LIMIT %s
"""


def sweep(*, now: dt.datetime) -> None:
    leave_unpaid(now=now)
    fail_due(now=now)


def leave_unpaid(*, now: dt.datetime) -> int:
    """Seats whose reservation has ended are free; how many."""
    done = 0
    while ids := [pk for (pk,) in db.read(_UNPAID, [AT_ONCE])]:
        for pk in ids:
            done += _leave(pk, now)
    return done


@transaction.atomic
def _leave(seat_id: int, now: dt.datetime) -> bool:
    db.lock(Team.objects.filter(seats=seat_id))
    (seat,) = db.lock(TeamSeat.objects.filter(pk=seat_id))
    ended = (Reservation.Status.EXPIRED, Reservation.Status.RELEASED)
    if seat.status != Seat.JOINED or seat.reservation.status not in ended:
        return False
    seat.status, seat.left_at = Seat.LEFT, now
    seat.save(update_fields=["status", "left_at"])
    return True


def fail_due(*, now: dt.datetime) -> int:
    """Teams whose time is over fail; how many. Each is a transaction of its own."""
    done, seen = 0, set[int]()
    values = {"grace": stock.PAYMENT_GRACE, "limit": AT_ONCE}
    while ids := {pk for (pk,) in db.fetch(_DUE, values)} - seen:
        for pk in sorted(ids):
            done += fail(team_id=pk, now=now)
        seen |= ids
    return done


@transaction.atomic
def fail(*, team_id: int, now: dt.datetime) -> bool:
    """The team ends; the database writes the refunds, and the stock goes back. False when it had ended before."""
    (team,) = db.lock(Team.objects.filter(pk=team_id))
    if team.status != Status.FORMING:
        return False
    seats = list(team.seats.select_related("reservation").order_by("reservation"))
    team.status, team.ended_at = Status.FAILED, now
    team.save(update_fields=["status", "ended_at"])
    for seat in seats:
        if seat.status == Seat.PAID:
            stock.give_back(reservation_id=seat.reservation_id, quantity=seat.reservation.quantity, now=now)
        elif seat.reservation.status == Reservation.Status.HELD:
            stock.release(reservation_id=seat.reservation_id, now=now)
    return True


_WRONG = """
    SELECT 'team ' || t.id FROM campaigns_team t LEFT JOIN (
        SELECT team_id, count(*) FILTER (WHERE status = 'PAID') AS paid, count(*) FILTER (WHERE status <> 'LEFT') AS seats
        FROM campaigns_teamseat GROUP BY team_id) x ON x.team_id = t.id
    WHERE t.paid_count <> coalesce(x.paid, 0) OR (t.status = 'SUCCEEDED') <> (coalesce(x.paid, 0) = t.size)
        OR t.status = 'FORMING' AND t.seat_count <> coalesce(x.seats, 0)
    UNION ALL
    SELECT 'refund of seat ' || x.id FROM campaigns_teamseat x JOIN campaigns_team t ON t.id = x.team_id
    LEFT JOIN campaigns_salerefund f ON f.reservation_id = x.reservation_id AND f.reason = 'TEAM_FAILED'
    WHERE (t.status = 'FAILED' AND x.status = 'PAID') <> (f.id IS NOT NULL) OR f.amount_fen <> x.paid_fen
"""


def prove() -> list[str]:
    """Where K8 does not hold: empty, or a fault."""
    return [name for (name,) in db.read(_WRONG)]
