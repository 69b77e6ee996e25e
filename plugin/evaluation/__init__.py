"""How good a proposer is, on visits whose right lines are known: before and after the rules, with its over-coding rate."""
