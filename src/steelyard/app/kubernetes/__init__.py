"""The run type `k8s`: a plan as manifests for Kubernetes, written and never applied."""
