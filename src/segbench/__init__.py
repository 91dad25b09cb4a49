"""segbench: should I use Dask for my cell images, and how?"""

__version__ = "0.1.0"
