"""Training the caption bridge: from pictures' vectors to words of a small language model."""
