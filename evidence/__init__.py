"""What measures segbench itself: ``python -m evidence COMMAND``, from the root of a clone."""
