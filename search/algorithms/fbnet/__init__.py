"""FBNet: differentiable search over a mixture of candidates."""
