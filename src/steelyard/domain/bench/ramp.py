"""Curves along which a load grows to its full value, each with its integral turned round.

A rate that grows along `share(t)` (0 to 1 of the full rate) has sent, by `t`, what the full rate
sends in `integral of share` seconds: that is called the worth of `t`. Requests that are spaced for
the full rate are put where the growing rate wants them by the inverse of that integral, so the
schedule stays a pure function of the index.
"""

import numpy as np

from steelyard.kernel.units import NS_PER_S


def power_offsets_ns(duration_s: float, exponent: int, steps: int) -> np.ndarray:
    """Return int64 ns at which `share(t) = (t / duration) ** exponent` reaches each step.

    Step 0 of `steps` stands at the start; the last is reached as the duration ends.
    """
    progress = np.arange(steps, dtype=np.float64) / max(1, steps - 1)
    share = np.power(progress, 1.0 / exponent)
    return np.floor(share * (duration_s * NS_PER_S)).astype(np.int64)


def power_elapsed_s(duration_s: float, exponent: int, worth_s: np.ndarray) -> np.ndarray:
    """Return seconds by which `share(t) = (t / duration) ** exponent` has sent `worth_s`.

    The integral is `t ** (n + 1) / ((n + 1) * duration ** n)` up to `duration / (n + 1)`, and goes
    on at the full rate from there.
    """
    if duration_s <= 0:
        return np.asarray(worth_s, np.float64)
    order = exponent + 1
    whole_s = duration_s / order
    within = np.power(np.clip(worth_s / whole_s, 0.0, 1.0), 1.0 / order) * duration_s
    return np.where(worth_s < whole_s, within, duration_s + (worth_s - whole_s))


def stepped_elapsed_s(steps_s: np.ndarray, worth_s: np.ndarray) -> np.ndarray:
    """Return seconds by which a rate has sent `worth_s` that grows by an equal step at each time.

    From `steps_s[k]` on the share is `(k + 1) / len(steps_s)`.
    """
    count = len(steps_s)
    shares = np.arange(1, count + 1, dtype=np.float64) / count
    worth_at = np.concatenate(([0.0], np.cumsum(np.diff(steps_s) * shares[:-1])))
    step = np.searchsorted(worth_at, worth_s, side="right") - 1
    return steps_s[step] + (worth_s - worth_at[step]) / shares[step]
