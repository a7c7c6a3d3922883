"""Triton kernels: untyped by nature, and checked by what they compute.

Every one of them runs under Triton's interpreter on the CPU and compiles without a GPU.
"""
