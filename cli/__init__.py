"""The `longhand` command: the whole stack on one machine, and a client of its API."""
