"""What MONAI Label loads by its path, outside any package: among these names it looks for the one app."""

from gliomaseg.serving.label_app.app import GliomaApp

__all__ = ["GliomaApp"]
