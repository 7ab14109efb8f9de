"""Pictures with known answers, which ``verify`` asks about, and how answers are compared. The PNGs lie beside."""
