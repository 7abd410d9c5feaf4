"""Comparisons of time and memory, run manually and by ``make bench``."""
