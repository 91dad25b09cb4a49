"""Tests of what measures segbench itself."""
