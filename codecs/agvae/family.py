"""AG-VAE's family: branches of one network, of one size and age, that differ in one part each.

The variants of the paper's ablation, and other ways for one network to serve all rates (see
``model/mechanisms.py``).
"""

from __future__ import annotations

from bench.codecs.agvae.codec import AgvaeCodec

_FAMILY = "agvae-branch"


class AgvaeBranch(AgvaeCodec):
    """The paper's codec, continued for as long as the variants that it is compared with."""

    name = _FAMILY
    display = "AG-VAE branch"
    title = "AG-VAE ablation: gain units, asymmetric Gaussian; as many steps as its variants"
    variant = "gain-asym"
    branch = True
    stage = "branch"
    family = _FAMILY


class AgvaeGauss(AgvaeBranch):
    """One gained network, symmetric Gaussian entropy model."""

    name = "agvae-gauss"
    display = "AG-VAE Gaussian"
    title = "AG-VAE ablation: gain units, symmetric Gaussian"
    variant = "gain-gauss"


class AgvaeNogain(AgvaeBranch):
    """A network per level, asymmetric Gaussian entropy model."""

    name = "agvae-nogain"
    display = "AG-VAE no gain"
    title = "AG-VAE ablation: a network per level, asymmetric Gaussian"
    variant = "nogain-asym"


class AgvaeNogainGauss(AgvaeBranch):
    """A network per level, symmetric Gaussian entropy model."""

    name = "agvae-nogain-gauss"
    display = "AG-VAE no gain Gaussian"
    title = "AG-VAE ablation: a network per level, symmetric Gaussian"
    variant = "nogain-gauss"


class AgvaeCvr(AgvaeBranch):
    """Gain units on y alone."""

    name = "agvae-cvr"
    display = "AG-VAE gains on y alone"
    title = "AG-VAE, another way to vary the rate: gain units on y alone (CVR)"
    variant = "cvr-asym"
    stage = "mechanism"


class AgvaeScalar(AgvaeBranch):
    """One gain for each level, its inverse the reciprocal."""

    name = "agvae-scalar"
    display = "AG-VAE one gain a level"
    title = "AG-VAE, another way to vary the rate: one gain per level (Theis et al. 2017)"
    variant = "scalar-asym"
    stage = "mechanism"


class AgvaeConditional(AgvaeBranch):
    """Convolutions with a scale and a shift for each output channel and level, no gain units."""

    name = "agvae-conditional"
    display = "AG-VAE conditional"
    title = "AG-VAE, another way to vary the rate: conditional convolutions (Choi et al. 2019)"
    variant = "conditional-asym"
    stage = "mechanism"
