"""The composite reference of a refund to its partitioned line, and the channels every installation starts with."""

from django.db import migrations

CHANNELS = [
    ("POS", "门店收银", True),
    ("MINI_PROGRAM", "小程序", False),
    ("TMALL", "天猫", False),
    ("JD", "京东", False),
    ("DOUYIN", "抖音", False),
    ("YOUZAN", "有赞", False),
]


def create_channels(apps, schema_editor):
    Channel = apps.get_model("members", "Channel")
    Channel.objects.bulk_create(Channel(code=c, name=n, is_in_store=s) for c, n, s in CHANNELS)


class Migration(migrations.Migration):
    dependencies = [("members", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE members_refund ADD CONSTRAINT refund_line_exists FOREIGN KEY (line_id, booked_on)"
            " REFERENCES members_orderline (id, booked_on)",
            "ALTER TABLE members_refund DROP CONSTRAINT refund_line_exists",
        ),
        migrations.RunPython(create_channels, migrations.RunPython.noop),
    ]
