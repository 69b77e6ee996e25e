"""What leaves for the payer once people have approved it: an 837P file, or the same lines as a table; and their prices."""
