"""What runs against a whole lab: the demo, consumers, a herd and chaos."""
