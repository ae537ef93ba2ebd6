from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('members', '0017_birthdays_by_day'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='memberfacts',
            index=models.Index(fields=['last_on'], name='facts_last_on'),
        ),
    ]
