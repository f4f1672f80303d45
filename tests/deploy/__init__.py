"""Images, compose files and Kubernetes manifests: checked as far as no container needs to run."""
