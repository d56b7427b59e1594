"""The engine for GGUF language models: configuration, cache, scheduler, sampling and C kernels."""
