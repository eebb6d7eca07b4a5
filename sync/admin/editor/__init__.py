"""The mapping editor: `pages` is the page itself, `context` and `cells` say what stands on it; the others are its further steps."""
