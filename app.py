"""The Gradio view: renders an Article and hands every action to ``composer``. Holds no logic."""
