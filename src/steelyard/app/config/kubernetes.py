"""Section `kubernetes`: what the manifests of the run type `k8s` say of images, nodes and room."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import parse_tags
from steelyard.app.config.section import NotBool, Section

_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_QUANTITY = r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?"
_LABEL = r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_TTL_MAX_S = 2**31 - 1


def _like(pattern: str, what: str) -> AfterValidator:
    """Refuse a text that an API server would refuse, in words that say what it takes."""
    known = re.compile(pattern)

    def check(value: str) -> str:
        if known.fullmatch(value) is None:
            raise ValueError(what)
        return value

    return AfterValidator(check)


Name = Annotated[str, _like(f"({_NAME})?", "a name of lower-case letters, digits, dots, dashes")]
Quantity = Annotated[str, _like(_QUANTITY, "a quantity of Kubernetes, such as 500m or 2Gi")]
MaybeQuantity = Annotated[str, _like(f"({_QUANTITY})?", "a quantity such as 2Gi, or nothing")]
LabelKey = Annotated[str, _like(f"({_NAME}/)?{_LABEL}", "a label's key, such as example.org/pool")]
LabelValue = Annotated[str, _like(f"({_LABEL})?", "a label's value: letters, digits, dots, dashes")]
Labels = Annotated[dict[LabelKey, LabelValue], BeforeValidator(parse_tags)]


def _flag(name: str, metavar: str = "", unit: str = "") -> Flag:
    return Flag((name,), Groups.KUBERNETES, metavar=metavar, unit=unit)


class KubernetesConfig(Section):
    """The manifests of the run type `k8s`; of other run types nothing here is looked at."""

    image: Annotated[
        str,
        _like(r"\S+", "the name of an image"),
        _flag("--k8s-image", "IMAGE"),
        Field(
            description="Image of all containers, with this version of Steelyard in it; none is "
            "published, `make docker` builds one.",
        ),
    ] = "steelyard:latest"
    namespace: Annotated[
        str,
        _like(_NAMESPACE, "a name of lower-case letters, digits and dashes"),
        _flag("--k8s-namespace", "NAME"),
        Field(description="Namespace that everything goes into."),
    ] = "default"
    output: Annotated[
        str | None,
        _flag("--k8s-output", "DIR"),
        Field(
            description="Where the manifests are written; `kubernetes` in the artifact directory "
            "without it."
        ),
    ] = None
    node_selector: Annotated[
        Labels,
        _flag("--k8s-node-selector", "KEY=VALUE"),
        Field(description="Labels that the nodes must have."),
    ] = Field(default_factory=dict)
    labels: Annotated[
        Labels,
        _flag("--k8s-label", "KEY=VALUE"),
        Field(description="Labels of every object."),
    ] = Field(default_factory=dict)
    cpu: Annotated[
        Quantity,
        _flag("--k8s-cpu", "QUANTITY"),
        Field(description="Cores that each worker asks for; it is never held back to them."),
    ] = "1"
    memory: Annotated[
        Quantity,
        _flag("--k8s-memory", "QUANTITY"),
        Field(description="Memory that each worker asks for, and its limit."),
    ] = "2Gi"
    storage: Annotated[
        MaybeQuantity,
        _flag("--k8s-storage", "QUANTITY"),
        Field(
            description="Size of the volume claim that keeps the artifacts; an empty one makes "
            "no claim, and they are lost with the pod."
        ),
    ] = "1Gi"
    storage_class: Annotated[
        Name,
        _flag("--k8s-storage-class", "NAME"),
        Field(description="Storage class of that claim; the cluster's default without it."),
    ] = ""
    image_pull_secret: Annotated[
        Name,
        _flag("--k8s-image-pull-secret", "NAME"),
        Field(description="Secret by which the image is pulled."),
    ] = ""
    ttl_s: Annotated[
        int,
        NotBool,
        _flag("--k8s-ttl", unit="s"),
        Field(ge=0, le=_TTL_MAX_S, description="How long finished jobs are kept."),
    ] = 3600
    ray_version: Annotated[
        str,
        _like(r"[0-9]+\.[0-9]+\.[0-9]+", "a version such as 2.53.0"),
        Field(
            description="Ray in the image is of this version or later; KubeRay asks for it.",
        ),
    ] = "2.53.0"
