"""The gate: what became of rate and distortion since a baseline was locked, and why.

``baseline`` reads and writes what is locked, ``measure`` makes the same cells today, ``cells`` and
``curves`` compare them, ``environment`` says what else changed, ``diagnose`` which setting a
changed file really belongs to, ``speed`` compares ratios, ``report`` puts it in words.
"""
