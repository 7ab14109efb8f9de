"""One short function per verb, joining the rooms below. One module per group of verbs, so that each imports what it uses."""
