"""Training of AG-VAE and of its ablations: ``bench train``, ``train-all`` and ``ablation``.

No codec imports this package. It needs torch, NumPy, Pillow and safetensors alone, so that it runs
on a bare GPU machine; only the final table of real files needs the codec's own libraries.
"""
