"""The days of the life-cycle stages that a brand begins with, and the first count of everybody's facts."""

from django.db import migrations


def create_rules(apps, schema_editor):
    Brand, LifecycleRule = apps.get_model("scrm", "Brand"), apps.get_model("members", "LifecycleRule")
    for brand in Brand.objects.all():
        LifecycleRule.objects.get_or_create(brand=brand)


def ask_for_facts(apps, schema_editor):
    """Purchases that are older than the facts: 0 stands for everybody, the nightly pass counts them."""
    if apps.get_model("members", "OrderLine").objects.filter(member__isnull=False).exists():
        apps.get_model("members", "MemberToRefresh").objects.create(member_id=0)


class Migration(migrations.Migration):
    dependencies = [("members", "0011_facts_audiences_consent"), ("scrm", "0003_default_brand")]

    operations = [
        migrations.RunPython(create_rules, migrations.RunPython.noop),
        migrations.RunPython(ask_for_facts, migrations.RunPython.noop),
    ]
