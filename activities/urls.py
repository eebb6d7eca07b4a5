from django.urls import path

from activities.api import CallsView, CallView

urlpatterns = [
    path("calls/", CallsView.as_view(), name="calls"),
    path("calls/<uuid:call_id>/", CallView.as_view(), name="call"),
]
