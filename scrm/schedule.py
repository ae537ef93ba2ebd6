"""What runs by the clock (Asia/Shanghai). Beat copies a changed time from here and keeps what the console switched off.

A task that takes longer than its period is safe: each run claims its logical date or its rows by status.
"""

from __future__ import annotations

from typing import Any

ENTRIES: dict[str, dict[str, Any]] = {
    "channel events": {"task": "attribution.tasks.sweep_intake", "schedule": 60.0},
    "shops on platforms": {"task": "attribution.tasks.read_channels", "schedule": 60.0},
    "channel bills": {"task": "attribution.tasks.compare_bills", "schedule": 3600.0},
    "WeCom events": {"task": "scrm.wecom.tasks.sweep_inbox", "schedule": 60.0},
    "messages to WeCom": {"task": "scrm.wecom.tasks.sweep_outbox", "schedule": 60.0},
    "old events and messages of WeCom": {"task": "scrm.wecom.tasks.forget_wecom", "schedule": 3600.0},
    "self-check of WeCom": {"task": "scrm.wecom.tasks.check_corps", "schedule": 3600.0},  # one job a day, by its key
    "open jobs": {"task": "scrm.tasks.sweep_jobs", "schedule": 60.0},
    "expired uploads": {"task": "scrm.tasks.delete_expired_uploads", "schedule": 3600.0},
    "old answers and tokens": {"task": "scrm.tasks.forget_api_leftovers", "schedule": 3600.0},
    "facts of members": {"task": "members.tasks.refresh_facts", "schedule": 60.0},
    "facts by night": {"task": "members.tasks.count_facts_at_night", "schedule": 3600.0},  # one job a day, by its key
    "WeCom contacts": {"task": "guides.tasks.sweep_contacts", "schedule": 60.0},
    "sweeps of WeCom contacts": {
        "task": "guides.tasks.plan_contact_sweeps",
        "schedule": 600.0,
    },  # one a day, by its key
    "members who came later": {"task": "guides.tasks.recognise_all_members", "schedule": 86_400.0},
    "old login codes": {"task": "guides.tasks.forget_login_codes", "schedule": 3600.0},
    "WeCom directory": {"task": "guides.tasks.sweep_directories", "schedule": 3600.0},  # one job a day, by its key
    "results of handovers": {"task": "guides.tasks.read_transfer_results", "schedule": 600.0},
    "codes by the hour and the cap": {"task": "guides.tasks.refresh_ways", "schedule": 180.0},
    "codes at WeCom": {"task": "guides.tasks.compare_ways", "schedule": 3600.0},  # one job a day, by its key
    "files of welcome messages": {"task": "guides.tasks.upload_materials", "schedule": 120.0},
    "files of materials": {"task": "campaigns.tasks.upload_files", "schedule": 300.0},
    "tastes": {"task": "members.tasks.count_tastes", "schedule": 86_400.0},
    "corp tags": {"task": "guides.tasks.sweep_tags", "schedule": 60.0},
    "actions not done in time": {"task": "guides.tasks.expire_actions", "schedule": 300.0},
    "SOPs": {"task": "campaigns.tasks.sweep_sops", "schedule": 60.0},
    "marketing calendar": {"task": "campaigns.tasks.sweep_calendar", "schedule": 60.0},
    "figures of the calendar": {"task": "campaigns.tasks.count_calendar", "schedule": 300.0},
    "coupons in orders": {"task": "members.tasks.sweep_coupons", "schedule": 60.0},
    "coupons that end": {"task": "members.tasks.end_coupons", "schedule": 3600.0},  # one job a day, by its key
    "coupons that were used": {"task": "guides.tasks.hear_redemptions", "schedule": 60.0},
    "rewards and reviews": {"task": "guides.tasks.judge_rewards", "schedule": 3600.0},  # one job a day each, by its key
    "scenarios": {"task": "campaigns.tasks.make_mornings", "schedule": 60.0},  # one morning a day, by its row
    "outcomes of scenarios": {"task": "campaigns.tasks.follow_scenarios", "schedule": 3600.0},
    "customer groups": {"task": "campaigns.tasks.read_groups", "schedule": 60.0},
    "codes of groups": {"task": "campaigns.tasks.refresh_join_ways", "schedule": 120.0},
    "invitations into groups": {"task": "campaigns.tasks.follow_invitations", "schedule": 300.0},
    "plans for groups": {"task": "campaigns.tasks.follow_group_plans", "schedule": 600.0},
    "health of groups": {"task": "campaigns.tasks.count_group_health", "schedule": 3600.0},  # one job a day, by its key
    "list of customer groups": {"task": "campaigns.tasks.list_groups", "schedule": 3600.0},  # one a day, by its key
    "pre-opening pools": {"task": "campaigns.tasks.sweep_reservoirs", "schedule": 60.0},
    "flash sales and group buys": {"task": "campaigns.tasks.sweep_sales", "schedule": 60.0},
    "migration of customers": {
        "task": "campaigns.tasks.follow_migration",
        "schedule": 3600.0,
    },  # one an hour, by its key
    "referrals": {"task": "campaigns.tasks.judge_referrals", "schedule": 3600.0},  # one job a day, by its key
    "mass sends": {"task": "campaigns.tasks.sweep_sends", "schedule": 60.0},
    "moments": {"task": "campaigns.tasks.sweep_moments", "schedule": 60.0},
    "experiments that have ended": {"task": "campaigns.tasks.read_experiments", "schedule": 600.0},
    "rewards in the books": {"task": "attribution.tasks.follow_rewards", "schedule": 60.0},
    "waiting lines": {"task": "attribution.tasks.decide_waiting", "schedule": 60.0},
    "late-link windows": {"task": "attribution.tasks.finalise_decisions", "schedule": 3600.0},
    "disputes without an opinion": {"task": "attribution.tasks.hand_on_disputes", "schedule": 3600.0},
    "old channel events": {"task": "attribution.tasks.forget_events", "schedule": 3600.0},
    "money that has waited": {"task": "attribution.tasks.vest_ripe", "schedule": 3600.0},
    "settlement": {
        "task": "attribution.tasks.prepare_settlement",
        "schedule": 21_600.0,
    },  # one batch a month, by its key
    "proof of the books": {"task": "attribution.tasks.prove_books", "schedule": 86_400.0},
    "figures": {"task": "attribution.tasks.refresh_figures", "schedule": 60.0},
    "fairness": {"task": "attribution.tasks.refresh_fairness", "schedule": 60.0},
}
