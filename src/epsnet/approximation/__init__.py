"""Networks built for a function, with a certificate."""
