import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('campaigns', '0008_runs_of_a_version'),
    ]

    operations = [
        migrations.AlterField(
            model_name='soprun',
            name='version',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='campaigns.sopversion', verbose_name='version'),
        ),
    ]
