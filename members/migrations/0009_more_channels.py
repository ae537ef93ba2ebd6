"""The channels that were missing from the list every installation starts with."""

from django.db import migrations

CHANNELS = [
    ("KUAISHOU", "快手小店", False),
    ("PINDUODUO", "拼多多", False),
    ("XIAOHONGSHU", "小红书", False),
    ("WECHAT_SHOP", "微信小店", False),
]


def create_channels(apps, schema_editor):
    Channel = apps.get_model("members", "Channel")
    Channel.objects.bulk_create(
        (Channel(code=c, name=n, is_in_store=s) for c, n, s in CHANNELS), ignore_conflicts=True
    )


class Migration(migrations.Migration):
    dependencies = [("members", "0008_what_some_channels_say")]

    operations = [migrations.RunPython(create_channels, migrations.RunPython.noop)]
