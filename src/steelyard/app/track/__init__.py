"""Use cases of the tracker."""
