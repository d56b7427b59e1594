"""What a library without words gives, told by the words that another one has of the same pictures."""
