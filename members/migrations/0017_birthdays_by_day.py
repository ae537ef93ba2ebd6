from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Cast, ExtractDay, ExtractMonth


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('members', '0016_coupon_request_answers'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='member',
            index=models.Index(
                Cast(ExtractMonth('birthday') * 100 + ExtractDay('birthday'), models.IntegerField()),
                name='member_month_day',
                condition=models.Q(('birthday__isnull', False)),
            ),
        ),
    ]
