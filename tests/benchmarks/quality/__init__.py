"""How good are the candidates? Released splits, tuned baselines, paired significance."""
