"""The paper's ablation on equal terms: gain against none, asymmetric against Gaussian.

``terms`` says what was trained how, ``curves`` compares the measured curves, ``gains`` looks at
the gain vectors, ``write`` makes table and figure of it.
"""
