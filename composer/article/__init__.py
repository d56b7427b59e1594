"""What an article is: its value, its JSON, its Markdown, its language and its credit lines."""
