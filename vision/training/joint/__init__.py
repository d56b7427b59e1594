"""Training and measuring of the joint encoder."""
