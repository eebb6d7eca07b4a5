from django.urls import path

from integrations import consent_views

urlpatterns = [
    path("<slug:provider>/", consent_views.start, name="connect"),
    path("<slug:provider>/callback/", consent_views.callback, name="connect_callback"),
]
