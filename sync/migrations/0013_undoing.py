import uuid

import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.functions.datetime
from django.contrib.postgres.functions import RandomUUID
from django.db import migrations, models
from django.db.models.functions import Now

STRATEGIES = [
    ("crm_wins", "The CRM wins"),
    ("dialer_wins", "The dialer wins"),
    ("last_write_wins", "The later change wins"),
    ("field_level_merge", "Both are kept where they fit together, else a person decides"),
    ("manual", "A person decides"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0005_shares_and_turns"),
        ("mapping", "0004_editor"),
        ("sync", "0012_causes"),
    ]

    operations = [
        # --- what people decided about conflicts, so that it can be taken back ---
        migrations.CreateModel(
            name="ConflictDecision",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("field", models.CharField(max_length=100, verbose_name="field")),
                (
                    "choice",
                    models.CharField(
                        choices=[
                            ("ours", "The dialer's value"),
                            ("theirs", "The CRM's value"),
                            ("other", "Another value"),
                        ],
                        max_length=10,
                        verbose_name="kept",
                    ),
                ),
                ("alike", models.BooleanField(default=False, verbose_name="all alike")),
                ("count", models.PositiveIntegerField(default=0, verbose_name="conflicts")),
                ("made_at", models.DateTimeField(db_default=Now(), verbose_name="decided")),
                ("made_by", models.CharField(blank=True, default="", max_length=200, verbose_name="by")),
                (
                    "rule_in",
                    models.CharField(
                        blank=True,
                        choices=[("mapping", "Field mapping"), ("policy", "Conflict policy")],
                        default="",
                        max_length=10,
                    ),
                ),
                ("rule_before", models.CharField(blank=True, choices=STRATEGIES, default="", max_length=30)),
                ("rule_after", models.CharField(blank=True, choices=STRATEGIES, default="", max_length=30)),
                ("undone_at", models.DateTimeField(blank=True, null=True, verbose_name="taken back")),
                ("undone_by", models.CharField(blank=True, default="", max_length=200, verbose_name="taken back by")),
                ("undone", models.PositiveIntegerField(default=0, verbose_name="open again")),
                (
                    "connection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="integrations.crmconnection"
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
                "verbose_name": "decision",
                "verbose_name_plural": "decisions",
                "db_table": "conflict_decisions",
                "ordering": ["-made_at"],
                "indexes": [models.Index(fields=["tenant", "-made_at"], name="decision_newest")],
            },
        ),
        migrations.AddField(
            "conflict",
            "decision",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="conflicts",
                to="sync.conflictdecision",
            ),
        ),
        # --- end of decisions ---
        # --- undoing of runs and mapping versions ---
        migrations.AlterField(
            model_name="syncrun",
            name="kind",
            field=models.CharField(
                choices=[
                    ("initial", "First load"),
                    ("catch_up", "Catch-up"),
                    ("reconcile", "Reconciliation"),
                    ("backfill", "Back-fill of a field"),
                    ("snapshots", "Changed mapping applied"),
                    ("undo", "Undone"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.CreateModel(
            name="Undo",
            fields=[
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True, db_default=django.db.models.functions.datetime.Now(), verbose_name="created"
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        auto_now=True, db_default=django.db.models.functions.datetime.Now(), verbose_name="changed"
                    ),
                ),
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        default=uuid.uuid4,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("fields", models.JSONField(blank=True, default=list, verbose_name="fields")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("planning", "Being worked out"),
                            ("ready", "Plan ready"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Stopped early"),
                            ("discarded", "Discarded"),
                        ],
                        default="planning",
                        max_length=10,
                    ),
                ),
                ("listed", models.BooleanField(default=False)),
                ("total", models.PositiveIntegerField(default=0, verbose_name="values")),
                ("done", models.PositiveIntegerField(default=0, verbose_name="looked at")),
                ("counts", models.JSONField(blank=True, default=dict, verbose_name="counts")),
                ("error", models.TextField(blank=True, default="", verbose_name="problem")),
                ("created_by", models.CharField(blank=True, default="", max_length=200, verbose_name="by")),
                ("begun_at", models.DateTimeField(blank=True, null=True, verbose_name="begun")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished")),
                (
                    "back_to",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="mapping.mappingversion",
                    ),
                ),
                (
                    "connection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="undos",
                        to="integrations.crmconnection",
                    ),
                ),
                (
                    "of_run",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="undos", to="sync.syncrun"
                    ),
                ),
                (
                    "of_version",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="mapping.mappingversion",
                    ),
                ),
                (
                    "run",
                    models.OneToOneField(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="undo", to="sync.syncrun"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="integrations.tenant"
                    ),
                ),
                (
                    "through",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="mapping.mappingversion",
                    ),
                ),
            ],
            options={
                "verbose_name": "undo",
                "verbose_name_plural": "undos",
                "db_table": "undos",
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="UndoItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("value", "Value of a contact"),
                            ("sent", "Value in the CRM"),
                            ("created", "New contact"),
                            ("removed", "Removed contact"),
                        ],
                        max_length=10,
                        verbose_name="what",
                    ),
                ),
                ("contact_id", models.UUIDField()),
                ("record_id", models.UUIDField(null=True)),
                ("field", models.CharField(max_length=100, verbose_name="field")),
                ("path", models.CharField(db_default="", default="", max_length=500, verbose_name="CRM field")),
                ("old", models.JSONField(null=True, verbose_name="before")),
                ("new", models.JSONField(null=True, verbose_name="given")),
                ("facts", models.JSONField(db_default={}, default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Not looked at yet"),
                            ("planned", "Would be restored"),
                            ("done", "Restored"),
                            ("as_before", "Is as it was already"),
                            ("skipped", "Left as it is"),
                        ],
                        db_default="waiting",
                        default="waiting",
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("edited_here", "Edited here since"),
                            ("edited_in_crm", "Edited in the CRM since"),
                            ("comes_back", "Would come back: the mapping in force brings it again"),
                            ("not_known", "What was there before is not known"),
                            ("gone", "The contact or its record is not there any more"),
                            ("in_use", "Edited, called or in use since"),
                            ("refused", "The CRM refused it"),
                        ],
                        db_default="",
                        default="",
                        max_length=20,
                        verbose_name="why",
                    ),
                ),
                ("found", models.JSONField(null=True, verbose_name="now")),
                ("who", models.CharField(db_default="", default="", max_length=200, verbose_name="who")),
                ("changed_at", models.DateTimeField(null=True, verbose_name="when")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="integrations.tenant",
                    ),
                ),
                (
                    "undo",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="sync.undo",
                    ),
                ),
            ],
            options={
                "verbose_name": "value to take back",
                "verbose_name_plural": "values to take back",
                "db_table": "undo_items",
            },
        ),
        migrations.CreateModel(
            name="SentValue",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("field", models.CharField(max_length=100, verbose_name="field")),
                ("path", models.CharField(max_length=500, verbose_name="CRM field")),
                ("old", models.JSONField(null=True, verbose_name="before")),
                ("known", models.BooleanField(default=False, help_text="Whether the CRM's value before was seen.")),
                ("new", models.JSONField(null=True, verbose_name="after")),
                ("agreed", models.JSONField(null=True)),
                ("first", models.JSONField(null=True)),
                ("value", models.JSONField(null=True)),
                ("mapping_version", models.PositiveIntegerField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="when")),
                (
                    "connection",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="integrations.crmconnection",
                    ),
                ),
                (
                    "record",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sent",
                        to="sync.syncrecord",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="sync.syncrun",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="integrations.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "value sent to a CRM",
                "verbose_name_plural": "values sent to CRMs",
                "db_table": "sent_values",
                "indexes": [
                    models.Index(fields=["connection", "mapping_version"], name="sent_by_version"),
                    models.Index(condition=models.Q(("run__isnull", False)), fields=["run"], name="sent_by_run"),
                    models.Index(fields=["at"], name="sent_by_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("record", "field", "mapping_version", "run"),
                        name="one_memory_per_write",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="undo",
            index=models.Index(fields=["tenant", "-created_at"], name="undo_newest"),
        ),
        migrations.AddConstraint(
            model_name="undo",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "running")), fields=("tenant",), name="one_undo_at_a_time"
            ),
        ),
        migrations.AddIndex(
            model_name="undoitem",
            index=models.Index(fields=["undo", "state", "contact_id"], name="undo_next"),
        ),
        migrations.AddConstraint(
            model_name="undoitem",
            constraint=models.UniqueConstraint(
                fields=("undo", "kind", "contact_id", "field", "record_id", "path"),
                name="one_item_per_value",
                nulls_distinct=False,
            ),
        ),
        # --- end of undoing ---
    ]
