"""Days to count again as a queue of marks: rows are only added, so that writers never wait for each other."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("attribution", "0003_references_and_default_rule")]

    operations = [
        migrations.DeleteModel("FigureDay"),
        migrations.CreateModel(
            name="FigureMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
            ],
        ),
    ]
