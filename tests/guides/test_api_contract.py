"""The schema against the code: whatever may be sent gets an answer that the schema knows."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from attribution.disputes import hearing
from campaigns.models import Answer
from guides.models import Action, IntegrityCase
from tests.campaigns import inviting, planning
from tests.factories import chains, content, sales
from tests.factories import shops as factory

NOW = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC)
pytestmark = pytest.mark.django_db

EXAMPLES = 12
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
OPERATIONS = (
    "login", "logout", "me", "today", "members", "search_members", "member", "reveal_member", "commission", "commission_lines",
    "statements", "statement",
    "explain_commission", "handovers", "code", "new_friends", "share", "service_acts", "record_service_act",
    "rewards", "reviews", "appeal", "actions", "day", "action", "action_done", "action_skip",
    "calendar", "adapt_calendar", "group_board", "posters", "poster_picture", "groups", "group", "join_ways", "join_way_picture",
    "group_invitations", "group_invited", "knowledge", "vote_on_answer", "materials", "material_file", "use_material", "scripts", "use_script", "offers", "alike_products",
    "coupon_templates", "member_coupons", "give_coupon", "quote_coupon", "redeem_coupon", "redemptions", "reverse_redemption",
    "sales", "sale", "claim_sale", "share_sale",
    "chain_orders", "publish_chain_order", "redeem_chain_code", "chain_order", "close_chain_order", "read_chain_text", "save_chain_lines",
    "pay_chain_order", "refund_chain_line",
    "referrals", "invite_by_member", "friend_migration", "list_old_customers", "invited_old_customers",
    "disputes", "open_dispute", "dispute", "add_evidence", "evidence_picture", "give_opinion", "withdraw_dispute",
)  # fmt: skip


@pytest.fixture
def contract(shops):
    """Through WSGI, in the transaction of the test: the connection stays open between requests."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi(reverse("api-schema"), get_wsgi_application())
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def disputed(shops):
    """A dispute of hers with a picture."""
    claimant = shops.guides["A"]
    said = {"ground": "OTHER", "statement": "是我的顾客", "actor": claimant.user, "now": NOW}
    dispute = hearing.open_dispute(line_id=shops.lines["b"].pk, guide=claimant, **said)
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    return dispute, hearing.add_evidence(
        dispute=dispute, actor=claimant.user, text="截图", now=NOW, touch_id=1, picture=png
    )


def test_every_operation_is_tried(contract):
    assert {each.ok().definition.raw["operationId"] for each in contract.get_all_operations()} == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_is_sent_gets_an_answer_the_schema_knows(contract, shops, name):
    headers = {"Authorization": f"Bearer {shops.token('A')}"}
    case = IntegrityCase.objects.create(
        brand=shops.brand, guide=shops.guides["A"], subject="FRIENDS", opened_at=NOW, since=NOW, until=NOW, due_at=NOW
    )
    dispute, evidence = disputed(shops)
    material = content.material(kind="IMAGE")
    script = content.script(product=factory.product("榴莲"), texts={1: "{商品}到了"})
    action = Action.objects.create(
        key="test", guide=shops.guides["A"], member=shops.members["安琪"], kind="MESSAGE", source="HQ", source_id=1, title="问候",
        reason="生日快到了", starts_at=timezone.now(), due_at=timezone.now() + dt.timedelta(days=1),
    )  # fmt: skip
    chain = chains.chain(shops) if "chain" in name else case
    inside = inviting.made(shops)
    real = {
        "group_id": inside["group"],
        "way_id": inside["way"],
        "invitee_id": inside["invitee"],
        "action_id": action.pk,
        "content_id": material.pk,
        "sale_id": sales.sale(shops, {"S1": 50}).pk,
        "poster_id": content.poster().pk,
        "answer_id": Answer.objects.create(question="榴莲", answer="看刺").pk,
        "script_id": script.pk,
        "entry_id": planning.entry().pk,
        "dispute_id": dispute.pk,
        "evidence_id": evidence.pk,
        "member_id": shops.members["安琪"].pk,
        "line_id": shops.lines["a"].pk,
        "review_id": case.pk,
        "chain_id": chain.pk,
        "person_id": chains.join(chain, "王姐", {"猫山王": 1}).pk if name == "pay_chain_order" else 1,
        "redemption_id": 1,
        "period": "2027-05",
        "sku": factory.product("榴莲").sku,
    }
    operation = contract.find_operation_by_id(name)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(), finds=...)
    def try_it(case: schemathesis.Case, finds: bool) -> None:
        cache.clear()
        if finds and case.path_parameters:
            case.path_parameters = {key: real[key] for key in case.path_parameters}
        if name == "logout":
            headers["Authorization"] = f"Bearer {shops.token('A')}"
        case.call_and_validate(headers=headers, checks=list(CHECKS))

    try_it()


@pytest.mark.parametrize(
    "name",
    [
        "members",
        "search_members",
        "commission",
        "commission_lines",
        "login",
        "handovers",
        "new_friends",
        "share",
        "service_acts",
        "materials",
    ],
)
def test_what_the_schema_forbids_is_refused(contract, shops, name):
    headers = {"Authorization": f"Bearer {shops.token('A')}"}
    operation = contract.find_operation_by_id(name)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def try_it(case: schemathesis.Case) -> None:
        cache.clear()
        case.call_and_validate(
            headers=headers, checks=[not_a_server_error, status_code_conformance, negative_data_rejection]
        )

    try_it()
