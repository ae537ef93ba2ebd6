"""The HQ pool, the accounts of the house, and the rule of a fresh database."""

import hashlib
import json

from django.db import migrations
from django.utils import timezone

DEFAULT_RULE = {
    "name": "默认规则：服务优先",
    "mode": "SERVICE_FIRST",
    "seller_bp": 7000,
    "service_bp": 3000,
    "share_window_hours": 168,
    "late_link_days": 15,
    "binding_validity_days": None,
    "gap_pool_bp": 0,
    "home_pool_bp": 0,
    "entity_share_bp": 0,
    "fulfil_fee_bp": 0,
    "vest_days": 15,
}
DEFAULT_RATES = [[None, None, 500]]  # channel, category, bp


def create_defaults(apps, schema_editor):
    Beneficiary, Account = apps.get_model("attribution", "Beneficiary"), apps.get_model("attribution", "Account")
    hq_pool = Beneficiary.objects.create(code="HQ_POOL", kind="HQ_POOL")
    for kind in ("HOLD", "DUE", "RECV"):
        prefix = "A" if kind == "RECV" else "L"
        Account.objects.create(code=f"{prefix}:{kind.lower()}:HQ_POOL", kind=kind, beneficiary=hq_pool)
    for name in ("brand", "ecom", "entity", "promo"):
        Account.objects.create(code=f"X:budget:{name}", kind="BUDGET")
    Account.objects.create(code="X:loss", kind="LOSS")

    RuleVersion, RuleRate = apps.get_model("attribution", "RuleVersion"), apps.get_model("attribution", "RuleRate")
    brand = apps.get_model("scrm", "Brand").objects.get(code="MAIN")
    rule = RuleVersion.objects.create(brand=brand, number=1, **DEFAULT_RULE)
    RuleRate.objects.create(rule=rule, rate_bp=500)
    content = {"brand": "MAIN", "number": 1, "rates": DEFAULT_RATES, **DEFAULT_RULE}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    rule.digest = hashlib.sha256(canonical.encode()).hexdigest()
    rule.status, rule.published_at = "PUBLISHED", timezone.now()
    rule.save()


class Migration(migrations.Migration):
    replaces = [
        ("attribution", "0003_references_and_default_rule"),
    ]

    dependencies = [("attribution", "0001_tables")]

    operations = [migrations.RunPython(create_defaults, migrations.RunPython.noop)]
