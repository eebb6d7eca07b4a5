"""Why work fails, by cause. `common` says what a failure has in common with others (`text` reads the CRM's words for it),
`noting` writes it down, `counting` makes piles of it; `words`, `letters` and `before` explain a pile, `retrying` and `snoozing`
see to it."""
