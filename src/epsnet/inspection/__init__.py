"""`inspect`: what is true of a network; and the self-check of the library."""
