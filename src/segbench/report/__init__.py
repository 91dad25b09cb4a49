"""Tables, figures, HTML and Markdown from the results."""
