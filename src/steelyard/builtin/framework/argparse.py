"""argparse: what a script was told on its command line."""

from typing import Any

from steelyard.domain.track.bounded_params import take_params
from steelyard.domain.track.ports import Patches, Sink


class ArgparseFramework:
    """Each namespace that a parser returns while the run goes on, as parameters.

    What was parsed before the run began is looked for when it begins; see `hyperparameters`.
    """

    modules = ("argparse",)

    def install(self, module: Any, patches: Patches) -> None:
        """Watch what every way to parse goes through; parsers of subcommands are inside of it."""
        patches.watch(
            module.ArgumentParser,
            "parse_known_args",
            after=_parsed,
            mutes=frozenset({"*"}),
        )


def _parsed(sink: Sink, result: Any, parser: Any, *args: Any, **kwargs: Any) -> None:
    sink.log_params(take_params(result[0]).values)
