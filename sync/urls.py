from django.urls import path

from sync.api import ContactsView, ContactView, HealthView

urlpatterns = [
    path("contacts/", ContactsView.as_view(), name="contacts"),
    path("contacts/<uuid:contact_id>/", ContactView.as_view(), name="contact"),
    path("health/", HealthView.as_view(), name="health"),
]
