"""The channel of orders out of chain orders (接龙)."""

from django.db import migrations


def create_channel(apps, schema_editor):
    Channel = apps.get_model("members", "Channel")
    Channel.objects.bulk_create([Channel(code="CHAIN_ORDER", name="群接龙", is_in_store=False)], ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("members", "0002_channels_and_defaults")]

    operations = [migrations.RunPython(create_channel, migrations.RunPython.noop)]
