"""The stays that have ended, by when."""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("campaigns", "0022_leaving_groups")]

    operations = [
        AddIndexConcurrently(
            model_name="groupstay",
            index=models.Index(
                fields=["left_at"], name="group_stay_left", condition=models.Q(is_staff=False, left_at__isnull=False)
            ),
        ),
    ]
