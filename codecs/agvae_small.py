"""AG-VAE's ablation: all four variants in the small preset, trained on equal terms.

Compare these with each other (``bench ablation``), not with other codecs.
"""

from __future__ import annotations

from typing import ClassVar

from bench.codecs.agvae.codec import AgvaeCodec


class AgvaeSmall(AgvaeCodec):
    """Small: one gained network, asymmetric Gaussian entropy model."""

    name = "agvae-small"
    title = "AG-VAE, small preset: gain units, asymmetric Gaussian"
    variant = "gain-asym"
    preset: ClassVar[str] = "small"
    in_default_run = False


class AgvaeSmallGauss(AgvaeCodec):
    """Small: one gained network, symmetric Gaussian entropy model."""

    name = "agvae-small-gauss"
    title = "AG-VAE ablation, small preset: gain units, symmetric Gaussian"
    variant = "gain-gauss"
    preset: ClassVar[str] = "small"
    in_default_run = False


class AgvaeSmallNogain(AgvaeCodec):
    """Small: a network per level, asymmetric Gaussian entropy model."""

    name = "agvae-small-nogain"
    title = "AG-VAE ablation, small preset: a network per level, asymmetric Gaussian"
    variant = "nogain-asym"
    preset: ClassVar[str] = "small"
    in_default_run = False


class AgvaeSmallNogainGauss(AgvaeCodec):
    """Small: a network per level, symmetric Gaussian entropy model."""

    name = "agvae-small-nogain-gauss"
    title = "AG-VAE ablation, small preset: a network per level, symmetric Gaussian"
    variant = "nogain-gauss"
    preset: ClassVar[str] = "small"
    in_default_run = False
