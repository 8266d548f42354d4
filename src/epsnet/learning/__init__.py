"""`learn`: from an accuracy and a target to a network with a checked bound."""
