"""The plain values that providers hand upward and take: no model, no vendor's words."""
