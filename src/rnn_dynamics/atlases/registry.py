"""The atlases by name."""

from rnn_dynamics.atlases import fixed_points, gated, neuron, radius
from rnn_dynamics.atlases.atlas import Atlas

ATLASES: dict[str, Atlas] = {
    "radius": radius.ATLAS,
    "neuron": neuron.ATLAS,
    "fixed_points": fixed_points.ATLAS,
    "gated": gated.ATLAS,
}
