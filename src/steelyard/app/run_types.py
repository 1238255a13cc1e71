"""The run types whose workers are on other machines; read at every start, so it loads nothing."""

PLACEMENTS = {
    "remote": "steelyard.app.placing:NobodyPlaces",
    "ray": "steelyard.app.placing_engine:EnginePlacement",
}
"""Run type to `module:Class`, called with the plan and with what shows a person a line; loaded only
when such a run begins.

All these run types have workers that join over tcp with a `Join`.
"""
