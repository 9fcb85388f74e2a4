"""What services use: where to connect, connections, pools and transactions."""
