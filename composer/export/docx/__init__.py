"""The Word exporter: paragraphs, numbering and styles of a .docx file."""
