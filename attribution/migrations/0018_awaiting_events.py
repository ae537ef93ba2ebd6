from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('attribution', '0017_wechat_pay'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='channelevent',
            index=models.Index(condition=models.Q(('status', 'PARKED')), fields=['error_place'], name='event_awaits'),
        ),
    ]
