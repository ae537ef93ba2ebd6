"""The one brand every installation starts with; its name is editable."""

from django.db import migrations


def create_brand(apps, schema_editor):
    apps.get_model("scrm", "Brand").objects.create(code="MAIN", name="本品牌")


class Migration(migrations.Migration):
    dependencies = [("scrm", "0002_database_functions")]
    operations = [migrations.RunPython(create_brand, migrations.RunPython.noop)]
