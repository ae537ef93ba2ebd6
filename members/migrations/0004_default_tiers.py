"""The tiers that member lists of Chinese retail chains usually name; HQ renames and adds its own."""

from django.db import migrations

TIERS = ("普通", "银卡", "金卡", "钻石")


def create_tiers(apps, schema_editor):
    Brand, Tier = apps.get_model("scrm", "Brand"), apps.get_model("members", "Tier")
    for brand in Brand.objects.all():
        for rank, name in enumerate(TIERS, start=1):
            Tier.objects.get_or_create(brand=brand, name=name, defaults={"rank": rank})


class Migration(migrations.Migration):
    dependencies = [("members", "0003_lines_stay"), ("scrm", "0003_default_brand")]

    operations = [migrations.RunPython(create_tiers, migrations.RunPython.noop)]
