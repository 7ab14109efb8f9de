"""Values to text for people and JSON for programs. Pure."""
