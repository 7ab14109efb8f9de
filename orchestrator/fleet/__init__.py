"""The fleet file: text to validated values, and what it asks of the plan. Pure."""
