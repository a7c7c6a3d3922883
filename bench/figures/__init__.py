"""The figures of a paper, made again from our own measurements: ``bench figures``.

A figure set is declared in one TOML file beside this one (``agvae2021.toml``): which figures, of
which kind, from which images and codecs, with which caption. A kind is a module here that turns
an entry into a ``Product``: the numbers, the drawing made from them, a table.

Every file says where its numbers come from. What others published (``published.py``) is drawn
dashed; what cannot be measured here is left out with its reason.
"""
