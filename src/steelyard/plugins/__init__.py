"""The plugin kernel: manifests, metadata, registry, states, hooks, order. Models, no I/O."""
