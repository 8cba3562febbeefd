"""The atlases by name."""

from rnn_dynamics.atlases import neuron, radius
from rnn_dynamics.atlases.atlas import Atlas

ATLASES: dict[str, Atlas] = {"radius": radius.ATLAS, "neuron": neuron.ATLAS}
