"""What is told of single requests: the core's own Structs."""

from steelyard.domain.bench.streaming import MetricRecordsData, RecordMetadata

__all__ = ["MetricRecordMetadata", "MetricRecordsData"]

MetricRecordMetadata = RecordMetadata
