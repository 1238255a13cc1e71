"""How services talk to each other."""
