r"""Rule `shallow_betti`: one hidden layer makes level sets of polynomial complexity only.

**Theorem.** Let f(x) = a x + c + sum_i (l_i(x) + c_i rho(w_i x + b_i)) with N terms with a kink and affine l_i. For
every box in R^d and every t

$$ \sum_k b_k(\{f \ge t\}) \le \sum_{k=0}^d 2^{d-k} \binom dk \binom Nk. $$

*Proof.* It suffices to treat generic functions of this form: for some e > 0 the inclusion of {f >= t} in {f >= t - e}
is a homotopy equivalence, and for g close to f it factors through {g >= t - e/2}, the sum of which is thus no smaller.
Generic means that exactly d of the N hyperplanes w_i x + b_i = 0 and of the 2d sides of the box meet in a vertex, with
independent normals, and that g has different values at different vertices, thus is constant along no edge.

Lower t. The topology of {g >= t} changes only where t is the value of a vertex v, and there the cone is added over the
directions into the box in which g increases from v. So the sum grows at most by the sum of the reduced Betti numbers of
the set of these directions (1 for the empty set, which is a new component). Take the d affine functions that vanish at
v as coordinates t_i. Near v, g - g(v) is a sum of functions of one t_i each, linear on either side of 0, and where t_i
belongs to a side of the box only t_i >= 0 is allowed: all other terms are affine there. So the directions are the
simplices spanned by 2d rays, or fewer, two opposite ones for each coordinate; g is linear on each; and where it
increases retracts to what is spanned by the rays along which it increases: the join of 0, 1 or 2 points for each
coordinate. This is contractible if one of them is 1 point, and else a sphere, so the sum grows by 1 at most. Vertices
are intersections of d - k sides, no two of them opposite, with k of the N hyperplanes. QED.

{f <= t} is {-f >= -t}. There is no witness.
"""

from __future__ import annotations

from math import comb

from epsnet.certify.bound import Kind
from epsnet.certify.errors import HypothesisError
from epsnet.checker.rule import Context, Verdict
from epsnet.core.network import Network

QUANTITIES = ("sum of Betti numbers of {Phi >= t} for every t", "sum of Betti numbers of {Phi <= t} for every t")

MAX_INPUTS = 100


def check(context: Context) -> Verdict:
    """Check an upper bound of the sum on a box."""
    claim, network = context.claim, context.network
    context.require(claim.quantity in QUANTITIES, "It does not bound a sum of Betti numbers. Build it anew.")
    context.states(claim.quantity, "<=", network=True)
    fits = context.domain().dimension == network.inputs
    context.require(fits, "The domain has another dimension than the network. Build it anew.")
    most = most_vertices(network.inputs, hidden_kinks(network))
    context.require(claim.limit >= most, f"The sum may reach {most}. State that.")
    return Verdict(Kind.PROVED)


def most_vertices(inputs: int, kinks: int) -> int:
    """Return the bound of the theorem for d inputs and N kinks."""
    return sum(2 ** (inputs - k) * comb(inputs, k) * comb(kinks, k) for k in range(inputs + 1))


def hidden_kinks(network: Network) -> int:
    """Return N for a network of one hidden layer and one output, which may also read the input itself.

    Raises:
        HypothesisError: the network is another one, has more than 100 inputs, or an activation is not linear on both
            sides of 0.
    """
    if len(network.layers) != 2 or network.outputs != 1 or network.inputs > MAX_INPUTS:
        raise HypothesisError("The bound is for one hidden layer, one output and 100 inputs. Use such a network.")
    hidden, output = ([function.slopes for function in layer.functions()] for layer in network.layers)
    if None in hidden or any(slopes is None or slopes[0] != slopes[1] for slopes in output):
        raise HypothesisError(
            "An activation is not linear on both sides of 0, or the last is not the identity. Use relu."
        )
    return sum(slopes is not None and slopes[0] != slopes[1] for slopes in hidden)
