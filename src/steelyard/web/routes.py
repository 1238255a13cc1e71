"""Routes that say what they allow: one without a permission can't be made."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute

from steelyard.domain.fleet.access import AccessKey, Permission
from steelyard.web.problems import RequestError

OPEN = "open"
Word = Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
_MARK = "x-permission"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """A route that checks a key's permission before it reads anything of the request."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra = options.get("openapi_extra") or {}
        if _MARK not in extra:
            message = f"{path} does not say what it allows"
            raise TypeError(message)
        super().__init__(path, endpoint, **options)

    @property
    def permission(self) -> str:
        """What it takes, or `open`."""
        return str((self.openapi_extra or {})[_MARK])

    def get_route_handler(self) -> Handler:
        """Return the handler behind the check."""
        handler = super().get_route_handler()
        permission = self.permission

        async def guarded(request: Request) -> Response:
            if permission != OPEN:
                require(request.state.key, Permission(permission))
            return await handler(request)

        return guarded


def require(key: AccessKey | None, permission: Permission) -> AccessKey:
    """Return the key when it allows something.

    Raises:
        RequestError: 403, it does not.
    """
    if key is not None and key.lacks_for_projects(permission):
        raise RequestError(
            403, f"{permission} is for all projects, and your key is for some",
            got=f"a key for {', '.join(key.projects)}", expected="a key that no project narrows",
            next_step="Ask an admin for one: steelyard fleet keys create NAME without --project",
        )  # fmt: skip
    if key is None or permission not in key.permissions:
        raise RequestError(
            403, f"Your key does not allow {permission}",
            next_step="Ask an admin for a key of another role: steelyard fleet keys create",
        )  # fmt: skip
    return key


def router(tag: str) -> APIRouter:
    """Return a router below /v1 whose routes are guarded."""
    return APIRouter(prefix="/v1", route_class=GuardedRoute, tags=[tag])


def allows(
    permission: Permission | None,
    *,
    body: str = "",
    answer: str | dict[str, Any] = "",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the options of a route that takes this permission; None opens it to everybody.

    Args:
        permission: what a key must allow.
        body: name of the component that its JSON body is.
        answer: the component that it answers with, or a schema.
        status: of that answer.
        headers: that a request may have, and what they are for.
    """
    extra: dict[str, Any] = {_MARK: str(permission) if permission else OPEN}
    extra["security"] = [{"key": []}] if permission else []
    if headers:
        extra["parameters"] = [
            {"name": name, "in": "header", "required": False, "description": text, "schema": TEXT}
            for name, text in headers.items()
        ]
    if body:
        content = {"application/json": {"schema": ref(body)}}
        extra["requestBody"] = {"required": True, "content": content}
    schema = ref(answer) if isinstance(answer, str) else answer
    problem = {"description": "A problem", "content": {"application/problem+json": {
        "schema": ref("Problem")}}}  # fmt: skip
    responses: dict[int | str, dict[str, Any]] = {"4XX": problem}
    if answer:
        content = {"application/json": {"schema": schema}}
        responses[status] = {"description": "What was asked for", "content": content}
    return {"openapi_extra": extra, "responses": responses, "status_code": status}


def ref(name: str) -> dict[str, str]:
    """Return a reference to a component of the OpenAPI document."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(name: str, **more: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `{"items": [...]}`, with more fields."""
    items = {"type": "array", "items": ref(name)}
    properties = {"items": items, **more}
    return {"type": "object", "required": list(properties), "properties": properties}
