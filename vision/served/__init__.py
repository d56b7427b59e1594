"""A model that an OpenAI-compatible server runs: vLLM, SGLang, llama.cpp, Ollama and others."""
