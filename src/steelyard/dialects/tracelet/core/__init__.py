"""Plugins of the experiment tracker."""
