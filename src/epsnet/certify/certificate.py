"""`Certificate`: the derivation of some bounds as a directed acyclic graph with witnesses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from epsnet.certify.bound import Bound
from epsnet.certify.errors import CheckError
from epsnet.certify.hashing import sha256_arrays

Witness = Mapping[str, np.ndarray]
"""Named arrays that make a claim easy to check: a bisection tree, windows, counts."""

MAX_NODES = 10_000
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Node:
    """One step: a claim, the indices of the premises it follows from, and the sha256 of its witness, if any."""

    claim: Bound
    premises: tuple[int, ...]
    witness: str | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Nodes in an order in which premises come first, and the witnesses by their sha256."""

    nodes: tuple[Node, ...]
    witnesses: Mapping[str, Witness]

    @classmethod
    def of(cls, roots: Iterable[Bound], witnesses: Iterable[tuple[Bound, Witness]] = ()) -> Certificate:
        """Collect the derivations of `roots`; `witnesses` pairs a bound of a derivation with what its rule needs."""
        hashed = [(bound, sha256_arrays(witness), witness) for bound, witness in witnesses]
        key_of = {id(bound): key for bound, key, _ in hashed}
        index: dict[int, int] = {}
        nodes: list[Node] = []
        for bound in (step for root in roots for step in root.derivation()):
            if id(bound) not in index:
                index[id(bound)] = len(nodes)
                nodes.append(Node(bound, tuple(index[id(p)] for p in bound.premises), key_of.get(id(bound))))
        return cls(tuple(nodes), {key: witness for _, key, witness in hashed})

    @classmethod
    def joined(cls, *certificates: Certificate) -> Certificate:
        """Return one certificate of all that some certificates derive."""
        nodes = [(node, own) for own in certificates for node in own.nodes]
        pairs = [(node.claim, own.witnesses[node.witness]) for node, own in nodes if node.witness is not None]
        return cls.of([node.claim for node, _ in nodes], pairs)

    def find(self, bound: Bound) -> int:
        """Return the index of the node that holds this very object; CheckError if there is none."""
        for index, node in enumerate(self.nodes):
            if node.claim is bound:
                return index
        raise CheckError(f"The certificate has no node for: {bound}. Build the certificate anew.")

    def to_json(self) -> list[dict[str, Any]]:
        """Return the nodes; witnesses are stored as arrays beside them."""
        return [
            {"claim": node.claim.to_json(), "premises": list(node.premises), "witness": node.witness}
            for node in self.nodes
        ]

    @classmethod
    def from_json(cls, data: Any, witnesses: Mapping[str, Witness]) -> Certificate:
        """Read a graph back, with limits. CheckError on a cycle, a forward reference or anything malformed."""
        if not isinstance(data, list) or len(data) > MAX_NODES:
            raise CheckError(f"A certificate is a list of at most {MAX_NODES} nodes. Build the certificate anew.")
        nodes: list[Node] = []
        depths: list[int] = []
        for number, entry in enumerate(data):
            if not isinstance(entry, dict) or set(entry) != {"claim", "premises", "witness"}:
                raise CheckError(f"Node {number} is not a node. Build the certificate anew.")
            premises, witness = entry["premises"], entry["witness"]
            if not isinstance(premises, list) or not all(type(p) is int and 0 <= p < number for p in premises):
                raise CheckError(
                    f"Node {number} has a premise that does not come before it. Build the certificate anew."
                )
            depths.append(1 + max((depths[p] for p in premises), default=0))
            if depths[-1] > MAX_DEPTH:
                raise CheckError(f"The certificate is deeper than {MAX_DEPTH} steps. Build it with fewer.")
            if witness is not None and not (isinstance(witness, str) and witness in witnesses):
                raise CheckError(f"The witness of node {number} is missing. Restore the file it was stored in.")
            claim = Bound.from_json(entry["claim"], tuple(nodes[p].claim for p in premises))
            nodes.append(Node(claim, tuple(premises), witness))
        return cls(tuple(nodes), witnesses)
