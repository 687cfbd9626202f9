"""The models that the paper's tables set beside adversarial nets."""
