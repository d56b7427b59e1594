"""Training what ships with Vignette, and measuring it: data, closed-form and gradient fits, recipes."""

from collections.abc import Callable

# What is under way, how many of it are done, how many there are.
Progress = Callable[[str, int, int], None]
