import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import integrations.people_models

APPEND_ONLY = """
CREATE OR REPLACE FUNCTION dialbridge_audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('dialbridge.audit_may_go', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'The audit log is only added to: an entry is neither changed nor deleted.';
END $$;
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION dialbridge_audit_stays();
"""
NOT_APPEND_ONLY = """
DROP TRIGGER IF EXISTS audit_stays ON audit_entries;
DROP FUNCTION IF EXISTS dialbridge_audit_stays();
"""


class Migration(migrations.Migration):
    """Roles per tenant, invitations, keys that run out, and the audit log."""

    dependencies = [
        ("integrations", "0006_exchanges"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            "membership",
            "role",
            models.CharField(
                choices=integrations.people_models.Role.choices,
                db_default="admin",
                default="admin",
                max_length=10,
                verbose_name="role",
            ),
        ),
        migrations.AddField(
            "membership",
            "is_active",
            models.BooleanField(db_default=True, default=True, verbose_name="active"),
        ),
        migrations.AddField(
            "apikey",
            "expires_at",
            models.DateTimeField(editable=False, null=True, verbose_name="good until"),
        ),
        migrations.AddField(
            "apikey",
            "uses",
            models.JSONField(db_default={}, default=dict, editable=False, verbose_name="used for"),
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", models.EmailField(max_length=254, verbose_name="e-mail")),
                (
                    "role",
                    models.CharField(
                        choices=integrations.people_models.Role.choices,
                        default="viewer",
                        max_length=10,
                        verbose_name="role",
                    ),
                ),
                (
                    "nonce",
                    models.CharField(default=integrations.people_models.new_nonce, editable=False, max_length=32),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="created"
                    ),
                ),
                ("expires_at", models.DateTimeField(editable=False, verbose_name="good until")),
                ("sent_at", models.DateTimeField(editable=False, null=True, verbose_name="sent")),
                ("accepted_at", models.DateTimeField(editable=False, null=True, verbose_name="accepted")),
                ("revoked_at", models.DateTimeField(editable=False, null=True, verbose_name="withdrawn")),
                (
                    "invited_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="invited by",
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
                "verbose_name": "invitation",
                "verbose_name_plural": "invitations",
                "db_table": "invitations",
                "ordering": ["-created_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("accepted_at", None), ("revoked_at", None)),
                        fields=("tenant", "email"),
                        name="one_open_invitation",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="when")),
                ("user_id", models.BigIntegerField(null=True, verbose_name="user")),
                ("who", models.CharField(max_length=150, verbose_name="who")),
                ("action", models.CharField(max_length=40, verbose_name="what")),
                ("kind", models.CharField(db_default="", default="", max_length=80, verbose_name="kind of object")),
                (
                    "object_id",
                    models.CharField(db_default="", default="", max_length=80, verbose_name="id of the object"),
                ),
                ("about", models.CharField(db_default="", default="", max_length=200, verbose_name="object")),
                ("details", models.TextField(db_default="", default="", verbose_name="details")),
                ("address", models.GenericIPAddressField(null=True, verbose_name="from where")),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="integrations.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "db_table": "audit_entries",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["tenant", "-id"], name="audit_newest"),
                    models.Index(fields=["tenant", "who", "-id"], name="audit_of_person"),
                    models.Index(fields=["object_id", "-id"], name="audit_of_object"),
                ],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, NOT_APPEND_ONLY),
    ]
