"""WeCom's limits (额度), each a number that a test may scale down. None: no limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Quotas:
    """As documented where it is; calls count per endpoint."""

    calls_per_minute: int | None = 10_000
    calls_per_hour: int | None = 150_000
    wrong_secrets: int | None = 100  # in a row from one address, which is then refused for an hour
    token_seconds: int = 7200
    contact_ways: int = 500_000  # group join ways included, temporary ones not
    temporary_ways_per_day: int = 100_000
    members_per_way: int = 100
    corp_tags: int = 10_000
    tags_per_customer: int = 3_000
    welcome_seconds: int = 20
    cursor_seconds: int = 4 * 3600
    attachments: int = 9
    text_bytes: int = 4_000
    media_seconds: int = 3 * 86_400
    groups_per_join_way: int = 5
    group_size: int = 200
    group_welcomes: int = 100
    mass_customers: int = 10_000
    mass_groups: int = 2_000
    mass_per_window: int | None = None  # None: as many as the month has days
    mass_window: str = "month"  # month, week, day
    reminders_per_day: int = 3
    transfers_per_call: int = 100
    transfers_per_customer: int = 2
    transfer_window_days: int = 90
    transfer_seconds: int = 24 * 3600
    group_transfers_per_day: int = 300
    customers_per_member: int = 20_000
    moments_per_minute: int = 10
    moments_per_month: int = 100_000
    links: int = 3_000
    link_members: int = 500
    statistics_days: int = 30
    statistics_back_days: int = 180
    tickets_per_hour: int = 100
    messages_per_minute: int = 30
    messages_per_hour: int = 1_000
    group_lag_seconds: float = 2.0  # at most, until a group's detail shows a change
    dispatch_seconds: float = 3.0  # until a mass send or a moment has reached the guides
    images_per_day: int = 1_000
    images_per_month: int = 3_000
