"""A small tracking system: projects in memory, experiments with everything that was logged."""

from itertools import count

_numbers = count(1)


class Experiment:
    """Keeps what it is told between start and finish."""

    def __init__(self, name):
        self.name = name
        self.id = f"exp-{next(_numbers)}"
        self.running = False
        self.metrics = []
        self.params = {}
        self.artifacts = {}

    def start(self):
        self.running = True

    def finish(self):
        self.running = False

    def log_metric(self, name, value, step):
        self.metrics.append((name, value, step))

    def log_params(self, params):
        self.params.update(params)

    def upload_artifact(self, local_path, artifact_path):
        self.artifacts[artifact_path] = local_path


class Project:
    """A named list of experiments."""

    def __init__(self, id):
        self.id = id
        self.experiments = []

    def create_experiment(self, name):
        self.experiments.append(Experiment(name))
        return self.experiments[-1]


class Client:
    """Hands projects out."""

    def __init__(self, url, token):
        if not url.startswith("http"):
            raise ValueError(f"not a URL: {url}")
        self.url = url
        self.token = token
        self.projects = {}

    def get_project(self, id):
        return self.projects.setdefault(id, Project(id))
