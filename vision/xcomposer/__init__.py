"""InternLM-XComposer 2.5 and 2 behind Vignette's protocol, from their published files and without their code."""
