"""The profiles that come with Vignette, what each needs, and which of them this machine can run."""
