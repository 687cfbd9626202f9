"""Section 7 of the paper: what adversarial nets can be extended to."""
