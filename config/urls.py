from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from activities.recording_views import PlayView, missing
from config import metrics, probes
from config.api import not_found
from integrations import people_views
from sync import webhooks

handler500 = "config.unavailable.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("people/join/<str:token>/", people_views.join, name="join"),
    path("people/profile/", people_views.profile, name="profile"),
    path("people/password/", people_views.ResetPassword.as_view(), name="admin_password_reset"),
    path("people/password/sent/", people_views.ResetSent.as_view(), name="password_reset_done"),
    path("people/password/<uidb64>/<token>/", people_views.ChoosePassword.as_view(), name="password_reset_confirm"),
    path("people/password/done/", people_views.PasswordChosen.as_view(), name="password_reset_complete"),
    path("admin/", admin.site.urls),
    path("connect/", include("integrations.urls")),
    path("webhooks/<slug:slug>/", webhooks.of_app, name="webhook_of_app"),
    path("webhooks/<slug:slug>/<uuid:token>/", webhooks.of_connection, name="webhook_of_connection"),
    path("api/v1/", include("sync.urls")),
    path("api/v1/", include("activities.urls")),
    path("api/recordings/<uuid:call_id>/play", PlayView.as_view(), name="play_recording"),
    path("api/recordings/<str:call_id>/play", missing),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"^api/", not_found),
    path("healthz", probes.alive, name="alive"),
    path("readyz", probes.ready, name="ready"),
    path("metrics", metrics.page, name="metrics"),
]
