"""The whole stack on one machine, as plain processes: install it, run it, look at it."""
