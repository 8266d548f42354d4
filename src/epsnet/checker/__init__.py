"""The checker: small and trusted. It re-derives every claim of a certificate and never searches."""
