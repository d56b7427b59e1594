"""Training what ships with Vignette, and measuring it: data, closed-form and gradient fits, recipes."""
