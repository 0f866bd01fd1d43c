"""Who proposes items: one file per channel family, and what they are made of."""
