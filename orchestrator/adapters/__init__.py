"""The only code that touches the world: one small module for each part of it."""
