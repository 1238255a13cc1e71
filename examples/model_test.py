"""A small model test that a worker really runs: one layer's weights are made, and used once."""

import time
from array import array


def run(inputs: int, outputs: int) -> dict[str, float]:
    """Test a layer of `inputs` x `outputs` weights, 4 bytes each.

    Returns its checksum over an input of ones, and how long that took.

    Raises:
        MemoryError: the weights do not fit into what the worker grants.
    """
    begun_s = time.perf_counter()
    try:
        weights = array("f", [0.5]) * (inputs * outputs)
    except MemoryError:
        size_gb = 4 * inputs * outputs / 1e9
        message = f"Model test failed due to out of memory error: {size_gb:.1f} GB of weights"
        raise MemoryError(message) from None
    sums = [sum(weights[row * inputs : (row + 1) * inputs]) for row in range(min(outputs, 64))]
    return {"checksum": sum(sums), "seconds": time.perf_counter() - begun_s}
