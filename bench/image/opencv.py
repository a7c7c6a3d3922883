"""OpenCV, imported when its first function is called: that takes as long as importing NumPy.

``from bench.image.opencv import cv2`` is what ``import cv2`` is, but for the moment. A process that
only lists metrics, plans a run or writes tables calls nothing of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cv2
else:

    class _Later:
        """Stands for the module until a name of it is asked for, and passes that on."""

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of any kind
            value = getattr(importlib.import_module("cv2"), name)
            setattr(self, name, value)
            return value

    cv2 = _Later()

__all__ = ["cv2"]
