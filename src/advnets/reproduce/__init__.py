"""The paper's artefacts, computed anew: its theory, its figures and its table."""
