"""The ground: bounds that know why they are true, their certificates, and outward-rounded arithmetic."""
