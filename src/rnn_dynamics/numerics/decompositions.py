"""The one lock for calls that decompose batches of matrices.

Two such calls at once wait inside XLA for its pool of threads, on two cores for one another for ever (JAX 0.10.2).
"""

import threading

#: Held meanwhile; a thread that has it may take it again.
decomposing = threading.RLock()
