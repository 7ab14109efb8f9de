"""One short function per verb, joining the rooms below. A module per group of verbs imports only what it uses."""
