import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Requests to the CRMs with their answers, kept for some days."""

    dependencies = [("integrations", "0005_shares_and_turns")]

    operations = [
        migrations.CreateModel(
            name="ApiExchange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="when")),
                ("work", models.CharField(db_default="", default="", max_length=20, verbose_name="for what")),
                ("method", models.CharField(max_length=10, verbose_name="method")),
                ("path", models.TextField(verbose_name="address")),
                ("status", models.PositiveSmallIntegerField(null=True, verbose_name="status")),
                ("milliseconds", models.PositiveIntegerField(verbose_name="milliseconds")),
                ("failed", models.BooleanField(db_default=False, default=False, verbose_name="failed")),
                ("problem", models.TextField(db_default="", default="", verbose_name="problem")),
                ("request", models.TextField(db_default="", default="", verbose_name="request")),
                ("response", models.TextField(db_default="", default="", verbose_name="answer")),
                (
                    "left_out",
                    models.PositiveIntegerField(db_default=0, default=0, verbose_name="characters left out"),
                ),
                (
                    "keys",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        db_default=models.Value(
                            [], output_field=django.contrib.postgres.fields.ArrayField(models.TextField())
                        ),
                        default=list,
                        size=None,
                        verbose_name="records",
                    ),
                ),
                ("size", models.PositiveIntegerField(db_default=0, default=0, verbose_name="characters kept")),
                (
                    "connection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="exchanges",
                        to="integrations.crmconnection",
                        verbose_name="connection",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="integrations.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "request to a CRM",
                "verbose_name_plural": "requests to CRMs",
                "db_table": "api_exchanges",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["tenant", "-id"], include=("size",), name="exchange_newest"),
                    models.Index(
                        condition=models.Q(("failed", True)), fields=["tenant", "-id"], name="exchange_failed"
                    ),
                    django.contrib.postgres.indexes.GinIndex(fields=["keys"], name="exchange_of_record"),
                ],
            },
        ),
    ]
