"""segbench: should I use Dask for my cell images, and how?"""

import lazy_loader

__version__ = "0.1.0"

# Imported when they are asked for: the command line is to answer at once.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["InputError"],
        "pipeline": ["PipelineParams"],
        "segmenting.frames": ["segment"],
    },
)
