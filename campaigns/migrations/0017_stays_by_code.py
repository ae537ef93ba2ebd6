"""The stays that came in by a code, by its state."""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("campaigns", "0016_communities_groups")]

    operations = [
        AddIndexConcurrently(
            model_name="groupstay",
            index=models.Index(fields=["state", "joined_at"], name="group_stay_code", condition=~models.Q(state="")),
        ),
    ]
