"""One thread of BLAS for each worker: with more, workers wait for each other's threads, on two cores for minutes."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
