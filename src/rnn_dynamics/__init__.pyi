"""The names at the top, each with the room that has it; `__init__.py` loads them from here."""

from . import (
    atlases as atlases,
    cells as cells,
    cliff as cliff,
    diagnosis as diagnosis,
    doya as doya,
    dynamics as dynamics,
    explore as explore,
    figures as figures,
    gradients as gradients,
    interop as interop,
    numerics as numerics,
    plots as plots,
    spectral as spectral,
    training as training,
)
from .cells import (
    GRU as GRU,
    LSTM as LSTM,
    Activation as Activation,
    Bidirectional as Bidirectional,
    DoyaNeuron as DoyaNeuron,
    ElmanRNN as ElmanRNN,
    LeakyRNN as LeakyRNN,
    PascanuNeuron as PascanuNeuron,
    PiecewiseLinearRNN as PiecewiseLinearRNN,
    PreActivationRNN as PreActivationRNN,
    Trajectory as Trajectory,
    random_rnn as random_rnn,
    rollout as rollout,
)
from .diagnosis import Tracker as Tracker, diagnose as diagnose
from .dynamics import (
    SeamWarning as SeamWarning,
    bifurcation_curve as bifurcation_curve,
    continue_branch as continue_branch,
    covariant_vectors as covariant_vectors,
    finite_time_exponents as finite_time_exponents,
    fixed_points as fixed_points,
    lyapunov_spectrum as lyapunov_spectrum,
    orbit_diagram as orbit_diagram,
    stable_set as stable_set,
    unstable_set as unstable_set,
)
from .dynamics.basins import basins as basins, find_attractors as find_attractors
from .gradients import (
    credit_by_lag as credit_by_lag,
    gradient_norms as gradient_norms,
    jacobian_product as jacobian_product,
    jacobian_products as jacobian_products,
    partial_sums as partial_sums,
    pullback as pullback,
    pushforward as pushforward,
    sensitivities as sensitivities,
    singular_spectrum as singular_spectrum,
    spectra_by_lag as spectra_by_lag,
    spectral_norms as spectral_norms,
    states_along as states_along,
    step_jacobians as step_jacobians,
)
from .numerics.given import PrecisionWarning as PrecisionWarning
from .numerics.programs import keep_programs as keep_programs
from .numerics.results import load as load
from .numerics.scaled import Scaled as Scaled
from .numerics.status import Status as Status
from .numerics.sweep import sweep as sweep
from .spectral import (
    edge_of_chaos as edge_of_chaos,
    joint_spectral_radius as joint_spectral_radius,
    mean_field as mean_field,
    non_normality as non_normality,
    power_norms as power_norms,
    product_bounds as product_bounds,
    pseudospectrum as pseudospectrum,
    slope_radius as slope_radius,
)

__version__: str
