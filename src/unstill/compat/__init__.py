"""The names of diffusers, carried out by unstill: a script written for it runs after changing its imports.

    from unstill.compat import StableVideoDiffusionPipeline, load_image, export_to_video

The same generator gives the same clip. It knows the verbs and nothing of networks.
"""

from unstill.compat.call import StableVideoDiffusionPipelineOutput
from unstill.compat.export import export_to_gif, export_to_video
from unstill.compat.pictures import load_image
from unstill.compat.pipeline import StableVideoDiffusionPipeline

__all__ = [
    "StableVideoDiffusionPipeline",
    "StableVideoDiffusionPipelineOutput",
    "export_to_gif",
    "export_to_video",
    "load_image",
]
