"""The players: plain modules; G maps (batch, latent) to (batch, *shape), D returns (batch,) logits."""
