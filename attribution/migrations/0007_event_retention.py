"""Finds the events that are old enough to be deleted."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("attribution", "0006_checked_lines")]

    operations = [
        AddIndexConcurrently(
            model_name="channelevent",
            index=BrinIndex(autosummarize=True, fields=["received_at"], name="event_received"),
        ),
    ]
