"""The role that keeps the records."""

from steelyard.builtin.service.records_manager import RecordsManager

__all__ = ["RecordsManager"]
