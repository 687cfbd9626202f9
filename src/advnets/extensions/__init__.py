"""The extensions that section 7 of the paper proposes."""
