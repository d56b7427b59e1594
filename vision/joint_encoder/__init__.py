"""The encoder that puts pictures and texts into one vector space."""
