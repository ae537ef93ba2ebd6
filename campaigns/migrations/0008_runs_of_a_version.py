from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('campaigns', '0007_sop_coupons_scripts_materials'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='soprun',
            index=models.Index(fields=['version', 'status'], name='sop_run_version'),
        ),
    ]
