"""The bus across processes, over ZeroMQ."""

from steelyard.runtime.bus_zmq import CurveKeys, ZmqBroker, ZmqClient

__all__ = ["CurveKeys", "ZmqBroker", "ZmqClient"]
