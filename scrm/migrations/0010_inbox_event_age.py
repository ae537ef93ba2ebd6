"""Finds the events that are old enough to be deleted."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scrm", "0009_wecom_outbox")]

    operations = [
        AddIndexConcurrently(
            model_name="inboxevent",
            index=BrinIndex(autosummarize=True, fields=["received_at"], name="inbox_event_age"),
        ),
    ]
