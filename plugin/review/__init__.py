"""What people decide of drafts: states, decisions, and the rules that stand before each."""
