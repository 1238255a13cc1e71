"""The backend example of document 004, over a tracking system that is really there."""

# mypy: ignore-errors
# Written the way the document writes it, which states few types.

from typing import Any

from steelyard.dialects.tracelet.core.plugins import BackendPlugin, PluginMetadata


class CustomBackendPlugin(BackendPlugin):
    """Keeps experiments in the custom tracking system."""

    def get_metadata(self) -> PluginMetadata:
        return PluginMetadata(
            name="custom_backend",
            version="1.0.0",
            description="Integration with Custom Tracking System",
            author="Your Team",
            plugin_type="backend",
            entry_point="custom_package.CustomBackendPlugin",
            dependencies=["custom-sdk>=2.0.0"],
            config_schema={
                "server_url": {"type": "string", "required": True},
                "project_id": {"type": "string", "required": True},
                "api_token": {"type": "string", "required": True},
            },
        )

    def initialize(self, config: dict[str, Any]) -> None:
        self.server_url = config["server_url"]
        self.project_id = config["project_id"]
        self.api_token = config["api_token"]

        import custom_sdk

        self.client = custom_sdk.Client(url=self.server_url, token=self.api_token)
        self.project = self.client.get_project(self.project_id)
        self.experiment = None

    def start(self) -> None:
        self.experiment = self.project.create_experiment(
            name=self.config.get("experiment_name", "Default Experiment")
        )
        self.experiment.start()

    def stop(self) -> None:
        if self.experiment:
            self.experiment.finish()
            self.experiment = None

    def log_metric(self, name: str, value: float, iteration: int | None = None) -> None:
        if self.experiment:
            self.experiment.log_metric(name=name, value=value, step=iteration)

    def log_params(self, params: dict[str, Any]) -> None:
        if self.experiment:
            self.experiment.log_params(params)

    def log_artifact(self, local_path: str, artifact_path: str) -> None:
        if self.experiment:
            self.experiment.upload_artifact(local_path, artifact_path)

    def get_status(self) -> dict[str, Any]:
        return {
            "backend_name": "custom_backend",
            "connected": self.experiment is not None,
            "experiment_id": getattr(self.experiment, "id", None),
            "project_id": self.project_id,
        }
