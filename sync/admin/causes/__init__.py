"""Failures by cause: `pages` takes the requests, `shown` and `places` fill the pages, `done` lists what people did about them."""
