"""Experiments: seeds, sweeps over cases that can be interrupted, rates with confidence intervals, records."""

from epsnet.experiments.rates import Estimate, Limit, PowerLaw, fit_limit, fit_rate
from epsnet.experiments.record import environment, make_record, read_record, write_record
from epsnet.experiments.seeds import seeds
from epsnet.experiments.store import CaseStore
from epsnet.experiments.sweep import Finished, sweep

__all__ = [
    "CaseStore",
    "Estimate",
    "Finished",
    "Limit",
    "PowerLaw",
    "environment",
    "fit_limit",
    "fit_rate",
    "make_record",
    "read_record",
    "seeds",
    "sweep",
    "write_record",
]
