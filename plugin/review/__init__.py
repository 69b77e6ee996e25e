"""What people decide of drafts, and the rules that stand before each decision; what a note lacks before it is signed."""
