"""Classes with one planted fault each: what proves that a kit's tests can fail.

Every module has `HONEST`, a subject that conforms, and `SABOTEURS`: the name of the test that must
reject it, and the subject.
"""
