"""What was bought from the sample company: 60,000 orders of 180 days, by weekday, hour, season and habit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from attribution.sample.goods import GOODS, Good
from attribution.sample.people import WINDOW_DAYS, Guide, Member, Rebinding, Store, pick
from attribution.sample.places import PREFIX
from scrm.money import round_half_up

ORDER_COUNT = 60_000
CHANNELS = ("POS", "MINI_PROGRAM", "TMALL", "JD", "DOUYIN")
CHANNEL_WEIGHTS = (580, 235, 70, 60, 55)
SALES_WEIGHTS = (450, 240, 130, 110, 70)  # around 6-18, 11-11 and 12-12
SALES_DAYS = {(6, 16), (6, 17), (6, 18), (11, 9), (11, 10), (11, 11), (12, 11), (12, 12)}
# of a hundred orders, how many name no buyer; platforms hand over few numbers
UNKNOWN_PERCENT = {"POS": 18, "MINI_PROGRAM": 3, "TMALL": 55, "JD": 50, "DOUYIN": 62}
WEEKDAYS = (100, 96, 97, 100, 114, 142, 136)  # from Monday
WORKDAY_HOURS = (1, 0, 0, 0, 0, 1, 3, 14, 34, 46, 48, 44, 38, 26, 22, 26, 40, 66, 84, 80, 58, 34, 14, 4)
WEEKEND_HOURS = (2, 1, 0, 0, 0, 1, 2, 10, 34, 62, 78, 70, 48, 38, 42, 54, 68, 74, 70, 62, 48, 32, 16, 5)
SHOP_HOURS = range(7, 22)
LINE_COUNTS, LINE_COUNT_WEIGHTS = (1, 2, 3, 4, 5), (60, 25, 10, 4, 1)
PLATFORM_HOURS_TO_COMPLETE = (24, 96)
HOME_HOURS_TO_COMPLETE = (1, 30)
REFUND_PERMILLE = 15


class Line(NamedTuple):
    channel: str
    shop: str
    order_no: str
    line_no: int
    created_at: dt.datetime
    paid_at: dt.datetime
    completed_at: dt.datetime | None
    buyer_mobile: str
    buyer_card_no: str
    store_code: str
    cashier_code: str
    good: Good
    grams: int  # thousandths of a kilogram or of a piece
    list_fen: int
    paid_fen: int
    points_fen: int  # the part of paid_fen settled in points
    mark: str  # "", staff_price, wholesale, test, or the name of a risk


class Refund(NamedTuple):
    channel: str
    shop: str
    order_no: str
    line_no: int
    refund_no: str
    refunded_at: dt.datetime
    grams: int
    amount_fen: int


class Buyers:
    """Who comes to a store on a day, and who serves her there."""

    def __init__(
        self, stores: Sequence[Store], guides: Sequence[Guide], members: Sequence[Member], moves: Sequence[Rebinding]
    ):
        self.stores = stores
        self.by_weight = list(accumulate(store.weight for store in stores))
        self.staff: dict[str, list[Guide]] = {store.code: [] for store in stores}
        for guide in guides:
            self.staff[guide.store_code].append(guide)
        self.guides = {guide.code: guide for guide in guides}
        self.members: dict[str, list[Member]] = {store.code: [] for store in stores}
        for member in members:
            self.members[member.store_code].append(member)
        self.by_keenness = {code: list(accumulate(m.keenness for m in those)) for code, those in self.members.items()}
        self.moves = {move.card_no: move for move in moves}

    def member(self, rng: Random, store: Store, day: dt.date) -> Member | None:
        those, cumulative = self.members[store.code], self.by_keenness[store.code]
        for _ in range(6):
            member = those[pick(rng, cumulative)]
            if member.registered_on <= day:
                return member
        return None

    def cashier(self, rng: Random, store: Store, member: Member | None, at: dt.datetime) -> str:
        """Her own guide when she is there, else whoever is."""
        day = at.date()
        if member is not None and rng.random() < 0.55:
            move = self.moves.get(member.card_no)
            own = self.guides.get(move.guide_code if move and move.at <= at else member.guide_code)
            if own is not None and own.store_code == store.code and own.works_on(day):
                return own.code
        return rng.choice([guide.code for guide in self.staff[store.code] if guide.works_on(day)])


def make_lines(rng: Random, buyers: Buyers, midnight: dt.datetime, order_count: int = ORDER_COUNT) -> list[Line]:
    """Every line of every order up to the end of today, in the order of their payment."""
    shelves = _shelves()
    hours = list(accumulate(WORKDAY_HOURS)), list(accumulate(WEEKEND_HOURS))
    line_counts = list(accumulate(LINE_COUNT_WEIGHTS))
    lines: list[Line] = []
    for start, count in _days(rng, midnight, order_count):
        is_sale = (start.month, start.day) in SALES_DAYS
        channels = list(accumulate(SALES_WEIGHTS if is_sale else CHANNEL_WEIGHTS))
        by_hour = hours[start.weekday() >= 5]
        seconds = sorted(pick(rng, by_hour) * 3600 + rng.randint(0, 3599) for _ in range(count))
        for number, second in enumerate(seconds, start=1):
            channel = CHANNELS[pick(rng, channels)]
            if channel == "POS" and second // 3600 not in SHOP_HOURS:
                channel = "MINI_PROGRAM"
            at = start + dt.timedelta(seconds=second)
            size = LINE_COUNTS[pick(rng, line_counts)]
            lines.extend(_order(rng, buyers, shelves[channel in CHANNELS[2:], at.month], channel, at, number, size))
    return lines


def make_refunds(rng: Random, lines: Sequence[Line]) -> list[Refund]:
    """Bad fruit: often half the money back, sometimes all of it, now and then in two steps."""
    refunds = []
    for line in lines:
        if line.paid_fen < 100 or rng.randint(1, 1000) > REFUND_PERMILLE:
            continue
        at = line.paid_at + dt.timedelta(seconds=rng.randint(1800, 3 * 86400))
        refund_no = f"R-{line.order_no}-{line.line_no}"
        key = line[:4]
        if rng.random() < 0.45:
            refunds.append(Refund(*key, refund_no, at, line.grams, line.paid_fen))
            continue
        percent = rng.randint(20, 70)
        first, grams = round_half_up(line.paid_fen * percent, 100), round_half_up(line.grams * percent, 100)
        refunds.append(Refund(*key, refund_no, at, grams, first))
        if rng.random() < 0.15:
            again = at + dt.timedelta(seconds=rng.randint(3600, 2 * 86400))
            refunds.append(Refund(*key, f"{refund_no}-2", again, line.grams - grams, line.paid_fen - first))
    return sorted(refunds, key=lambda refund: (refund.refunded_at, refund.refund_no))


def _days(rng: Random, midnight: dt.datetime, order_count: int) -> Iterator[tuple[dt.datetime, int]]:
    """Each day with its number of orders; together exactly ``order_count``."""
    starts = [midnight - dt.timedelta(days=back) for back in range(WINDOW_DAYS - 1, -1, -1)]
    weights = []
    for place, start in enumerate(starts):
        growth = 900 + 200 * place // WINDOW_DAYS
        sale = 160 if (start.month, start.day) in SALES_DAYS else 100
        weights.append(WEEKDAYS[start.weekday()] * growth * sale * rng.randint(93, 107))
    total = sum(weights)
    bounds = [0, *(order_count * part // total for part in accumulate(weights))]
    for place, start in enumerate(starts):
        yield start, bounds[place + 1] - bounds[place]


def _shelves() -> dict[tuple[bool, int], list[int]]:
    """Running weights of the goods per (on a platform, month): platforms sell boxes, shops sell what is in season."""
    shelves = {}
    for on_platform in (False, True):
        for month in range(1, 13):
            weights = []
            for good in GOODS:
                season = int(good.months[month - 1])
                ready = not good.grams and not good.is_gift  # cut fruit does not travel
                factor = (8 if good.is_gift else 1 if ready else 4) if on_platform else (1 if good.is_gift else 6)
                weights.append(season * factor)
            shelves[on_platform, month] = list(accumulate(weights))
    return shelves


def _order(
    rng: Random, buyers: Buyers, shelf: Sequence[int], channel: str, paid_at: dt.datetime, number: int, size: int
) -> Iterator[Line]:
    store = buyers.stores[pick(rng, buyers.by_weight)]
    member = None
    if rng.randint(1, 100) > UNKNOWN_PERCENT[channel]:
        member = buyers.member(rng, store, paid_at.date())
    in_store, on_platform = channel == "POS", channel in CHANNELS[2:]
    by_card = member is not None and ((in_store and rng.random() < 0.6) or not member.mobile)
    order_no = f"{PREFIX}-{channel[0]}{paid_at:%y%m%d}{number:05d}"
    created_at = paid_at if in_store else paid_at - dt.timedelta(seconds=rng.randint(8, 420))
    hours = PLATFORM_HOURS_TO_COMPLETE if on_platform else HOME_HOURS_TO_COMPLETE
    completed_at = (
        paid_at if in_store else paid_at + dt.timedelta(seconds=rng.randint(hours[0] * 3600, hours[1] * 3600))
    )
    cashier_code = buyers.cashier(rng, store, member, paid_at) if in_store else ""
    discount = _discount_percent(rng, channel, member)
    pays_points = member is not None and channel == "MINI_PROGRAM" and rng.random() < 0.05
    mark = _mark(rng, channel)
    chosen = {pick(rng, shelf) for _ in range(size)}
    for line_no, index in enumerate(sorted(chosen), start=1):
        good = GOODS[index]
        grams = _grams(rng, good, in_store=in_store)
        if mark == "wholesale":
            grams *= 20
        list_fen = round_half_up(grams * good.price_fen, 1000)
        paid_fen = round_half_up(list_fen * (100 - discount), 100)
        yield Line(
            channel=channel,
            shop=store.code if in_store else "main",
            order_no=order_no,
            line_no=line_no,
            created_at=created_at,
            paid_at=paid_at,
            completed_at=completed_at,
            buyer_mobile=member.mobile if member and not by_card else "",
            buyer_card_no=member.card_no if member and by_card else "",
            store_code="" if on_platform else store.code,
            cashier_code=cashier_code,
            good=good,
            grams=grams,
            list_fen=list_fen,
            paid_fen=paid_fen,
            points_fen=paid_fen // 10 if pays_points else 0,
            mark=mark,
        )


def _mark(rng: Random, channel: str) -> str:
    """What keeps a few orders from earning anybody anything."""
    number = rng.randint(1, 10_000)
    if channel == "POS":
        return "staff_price" if number <= 40 else "wholesale" if number <= 55 else ""
    return "test" if number <= 10 else "bulk_buying" if number <= 14 else ""


def _discount_percent(rng: Random, channel: str, member: Member | None) -> int:
    percent = 5 if member is not None and member.tier in ("钻石", "金卡") else 0
    if channel != "POS" and rng.random() < 0.3:
        percent += rng.choice((5, 8, 10, 15))
    elif rng.random() < 0.006:
        percent = 100  # a taste on the house
    return percent


def _grams(rng: Random, good: Good, *, in_store: bool) -> int:
    """Weighed to the gram in the shop, in pounds of 500 g everywhere else; pieces are whole."""
    if not good.grams:
        return 1000 * (1 if rng.random() < 0.74 else 2 if rng.random() < 0.8 else 3)
    grams = good.grams * rng.randint(45, 160) // 100
    return grams if in_store else max(500, grams // 500 * 500)
