"""The engine that times the backends, arm by arm, block by block."""
