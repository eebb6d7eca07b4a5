"""Watches over the connections and tells people: `kinds` and `conditions` say what is wrong, `evaluating` opens and ends alerts,
`notices` decides who hears of them, `delivering` sends, and `words` says it."""
