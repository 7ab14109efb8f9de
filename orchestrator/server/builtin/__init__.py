"""Weights that come with the server, for use without a hub: ordinary folders of transformers."""

from pathlib import Path

#: Folders by name.
BUILTIN = {config.parent.name: config.parent for config in sorted(Path(__file__).parent.glob("*/config.json"))}
