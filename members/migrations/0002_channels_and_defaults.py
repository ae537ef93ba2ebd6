"""The channels, tiers and life-cycle stages that every installation starts with; HQ renames and adds its own."""

from django.db import migrations

CHANNELS = [
    ("POS", "门店收银", True),
    ("MINI_PROGRAM", "小程序", False),
    ("TMALL", "天猫", False),
    ("JD", "京东", False),
    ("DOUYIN", "抖音", False),
    ("YOUZAN", "有赞", False),
    ("KUAISHOU", "快手小店", False),
    ("PINDUODUO", "拼多多", False),
    ("XIAOHONGSHU", "小红书", False),
    ("WECHAT_SHOP", "微信小店", False),
]
TIERS = ("普通", "银卡", "金卡", "钻石")  # that member lists of Chinese retail chains usually name


def create_channels(apps, schema_editor):
    Channel = apps.get_model("members", "Channel")
    Channel.objects.bulk_create(Channel(code=c, name=n, is_in_store=s) for c, n, s in CHANNELS)


def create_tiers(apps, schema_editor):
    Brand, Tier = apps.get_model("scrm", "Brand"), apps.get_model("members", "Tier")
    for brand in Brand.objects.all():
        for rank, name in enumerate(TIERS, start=1):
            Tier.objects.get_or_create(brand=brand, name=name, defaults={"rank": rank})


def create_rules(apps, schema_editor):
    Brand, LifecycleRule = apps.get_model("scrm", "Brand"), apps.get_model("members", "LifecycleRule")
    for brand in Brand.objects.all():
        LifecycleRule.objects.get_or_create(brand=brand)


class Migration(migrations.Migration):
    replaces = [
        ("members", "0002_references_and_channels"),
        ("members", "0004_default_tiers"),
        ("members", "0009_more_channels"),
        ("members", "0012_lifecycle_defaults"),
    ]

    dependencies = [("members", "0001_tables"), ("scrm", "0002_functions_and_brand")]

    operations = [
        migrations.RunSQL(  # of the two columns that name a line of the partitioned table
            "ALTER TABLE members_refund ADD CONSTRAINT refund_line_exists FOREIGN KEY (line_id, booked_on)"
            " REFERENCES members_orderline (id, booked_on)",
            "ALTER TABLE members_refund DROP CONSTRAINT refund_line_exists",
        ),
        migrations.RunPython(create_channels, migrations.RunPython.noop),
        migrations.RunPython(create_tiers, migrations.RunPython.noop),
        migrations.RunPython(create_rules, migrations.RunPython.noop),
    ]
