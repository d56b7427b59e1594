"""Vision-language models of the transformers library behind Vignette's protocol."""
