"""Augmentation policies: random changes of training images beside crops and flips."""
