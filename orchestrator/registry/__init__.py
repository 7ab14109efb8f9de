"""The registry: what is known of each model, from text to validated values."""
