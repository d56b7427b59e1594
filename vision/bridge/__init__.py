"""A vision tower joined to a language model by a trained projector."""
