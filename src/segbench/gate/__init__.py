"""The gate: base and head side by side, each in an environment of its own."""
