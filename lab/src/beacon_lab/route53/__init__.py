"""Route 53 on one machine: health checkers, record selection, and a DNS server that answers by both."""
