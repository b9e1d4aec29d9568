"""FP-NAS and PARSEC: networks sampled from a factorised distribution."""
