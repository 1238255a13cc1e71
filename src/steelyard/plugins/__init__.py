"""The plugin kernel: manifests, metadata, registry, states, hooks and order. Models only, no I/O."""
