"""Training of the projector between a vision tower and a language model, and of a LoRA behind it."""
