"""Pictures of solutions."""
