"""Takes back what a sync run or a mapping version did. `undos` is what people ask for; `targets` writes down what was changed,
`steps` goes through it, `looking` reads the CRMs, `deciding` (with `alike` and `uses`) says what may go back, `writing` does it.
`overwritten` remembers, at every write to a CRM, what it was written over."""
