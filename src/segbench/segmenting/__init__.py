"""The pipeline as a tool: image files of any kind to a table of their cells."""
