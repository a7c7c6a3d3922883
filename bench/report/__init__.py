"""One offline page of a run: what won where and why, curves, pictures, tables, provenance.

``write`` is the door. The page is a single HTML file that works from ``file://``: its scripts,
styles, numbers and pictures are all inside, and its content security policy forbids it to load
anything else.
"""

from __future__ import annotations

from bench.report.page import Options, Outcome, write

__all__ = ["Options", "Outcome", "write"]
