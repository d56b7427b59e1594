"""Drafts, sessions, actions and jobs of the studio, without any page."""
