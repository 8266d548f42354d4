"""`python -m epsnet`."""

from epsnet.cli import main

main()
