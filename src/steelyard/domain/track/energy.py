"""Joules from counters that wrap."""

J_PER_KWH = 3_600_000.0


class EnergyCounter:
    """Energy since it was first told, of a counter that begins again at zero.

    Args:
        range_uj: the value after which the counter begins again, in microjoules (Linux tells it as
            `max_energy_range_uj`); 0 for one that never does.

    Attributes:
        joules: used since the first value.
    """

    def __init__(self, range_uj: int = 0) -> None:
        self.joules = 0.0
        self._range_uj = range_uj
        self._last_uj: int | None = None

    def told(self, value_uj: int) -> float:
        """Take the counter's value; return the joules used since the value before."""
        last_uj, self._last_uj = self._last_uj, value_uj
        if last_uj is None:
            return 0.0
        used_uj = value_uj - last_uj
        if used_uj < 0:
            used_uj = max(0, used_uj + self._range_uj)
        self.joules += used_uj / 1e6
        return used_uj / 1e6
