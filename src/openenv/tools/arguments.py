"""The arguments of a method: schema from its hints, validation before the call, errors that help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NotRequired, Required, Unpack, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)

from openenv.environment import Context
from openenv.errors import ConfigurationError, InvalidArguments, ValidationFailed
from openenv.types import ToolResult

_ARGS_HEADING = re.compile(r"^\s*(Args|Arguments|Parameters):\s*$", re.MULTILINE)
_SECTION_HEADING = re.compile(r"^(Returns|Raises|Yields|Examples?|Notes?):\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^\s{0,8}(\*{0,2}\w+)\s*(?:\([^)]*\))?:\s*(.+)$")
_MOST_FAULTS = 1000
_WRAPPED = "x-fastmcp-wrap-result"
"""fastmcp's mark for such a schema: its clients unwrap the value by it."""
_EXAMPLE_BY_TYPE: Mapping[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


class Arguments:
    """What a method takes by name, apart from ``self`` and its `Context`.

    ``**fields: Unpack[SomeTypedDict]`` stands for the keys of the typed dictionary; a bare ``**fields`` takes anything.
    Raises `ConfigurationError` when a parameter has no type hint: there would be nothing to validate against.
    """

    def __init__(
        self,
        method: Callable[..., Any],
        *,
        name: str | None = None,
        example: Mapping[str, Any] | None = None,
        refusal: type[ValidationFailed] = InvalidArguments,
    ) -> None:
        self._refusal = refusal
        self.name = name or method.__name__
        self.context_parameter: str | None = None
        self.takes_any = False
        described = parameter_descriptions(inspect.getdoc(method) or "")
        hints = get_type_hints(method, include_extras=True)
        fields: dict[str, Any] = {}
        for parameter in list(inspect.signature(method).parameters.values()):
            if parameter.name == "self" or parameter.kind is parameter.VAR_POSITIONAL:
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                spread = _unpacked(hints.get(parameter.name))
                self.takes_any = spread is None
                fields |= spread or {}
                continue
            if parameter.name not in hints:
                raise ConfigurationError(
                    f"{self.name}: parameter {parameter.name!r} has no type hint",
                    hint="Annotate it: the hint is its schema.",
                )
            hint = hints[parameter.name]
            if hint is Context:
                self.context_parameter = parameter.name
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            text = described.get(parameter.name)
            if text and not _has_description(hint):
                hint = Annotated[hint, Field(description=text)]
            fields[parameter.name] = (hint, default)
        self.names = frozenset(fields)
        extra: Literal["allow", "forbid"] = "allow" if self.takes_any else "forbid"
        self._model: type[BaseModel] = create_model(
            f"{self.name}_arguments",
            __config__=ConfigDict(extra=extra, arbitrary_types_allowed=True, protected_namespaces=()),
            **fields,
        )
        self._validate = self._model.__pydantic_validator__.validate_python
        self.schema = compact_schema(self._model.model_json_schema(by_alias=True))
        self._example = dict(example) if example is not None else None

    @property
    def example(self) -> dict[str, Any]:
        """Arguments that fit: the author's, or the least that the schema asks for."""
        if self._example is None:
            self._example = _example_for(self.schema, self.schema.get("$defs", {}))
        return self._example

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that were given, validated, by name; defaults stay the method's own.

        Raises `InvalidArguments` with the first field that is wrong, what was wrong, and an example.
        """
        try:
            model = self._validate(arguments)
        except ValidationError as error:
            raise self._explain(error) from None
        values = model.__dict__
        given = {name: values[name] for name in model.__pydantic_fields_set__ if name in values}
        if model.__pydantic_extra__:
            given |= model.__pydantic_extra__
        return given

    def _explain(self, error: ValidationError) -> ValidationFailed:
        if error.error_count() > _MOST_FAULTS:  # listing a million takes seconds and gigabytes
            message = f"{self.name}: {error.error_count()} faults in its arguments are too many to list"
            known = ", ".join(sorted(self.names)) or "none"
            return self._refusal(message, hint=f"Its arguments are: {known}.", example=self.example)
        errors = error.errors(include_url=False, include_context=False)
        first = errors[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(self.names)) or "none"
            message = f"{self.name} has no argument {field!r}"
            hint = f"Its arguments are: {known}."
        elif first["type"] == "missing":
            message = f"{self.name} needs the argument {field!r}"
            hint = f"Give {field!r} a value, as in the example."
        else:
            message = f"{self.name}: argument {field!r} is wrong: {first['msg']}"
            hint = f"Got {_short(first['input'])}; see the example for what fits."
        return self._refusal(message, field=field, hint=hint, example=self.example, errors=errors)


def parameter_descriptions(docstring: str) -> dict[str, str]:
    """Each parameter's text in a docstring's ``Args:`` section."""
    heading = _ARGS_HEADING.search(docstring)
    if heading is None:
        return {}
    section = docstring[heading.end() :]
    end = _SECTION_HEADING.search(section)
    described: dict[str, str] = {}
    last: str | None = None
    for line in section[: end.start() if end else None].splitlines():
        found = _ARGUMENT.match(line)
        if found:
            name = last = found.group(1).lstrip("*")
            described[name] = found.group(2).strip()
        elif line.strip() and last is not None:
            described[last] += " " + line.strip()
    return described


def summary(docstring: str) -> str:
    """A docstring without its sections: what a tool does, for whoever chooses one."""
    cut = len(docstring)
    for heading in (_ARGS_HEADING, _SECTION_HEADING):
        found = heading.search(docstring)
        if found:
            cut = min(cut, found.start())
    return " ".join(docstring[:cut].split())


def compact_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without what a reader can do without: generated titles, and null alternatives of optional fields."""

    def visit(node: Any, *, properties: bool = False) -> Any:
        if isinstance(node, list):
            return [visit(item) for item in node]
        if not isinstance(node, dict):
            return node
        made = {key: visit(value, properties=key == "properties") for key, value in node.items() if properties or key != "title"}
        if properties:
            return made
        choices = made.get("anyOf")
        if isinstance(choices, list) and made.get("default", ...) is None:
            kept = [choice for choice in choices if choice != {"type": "null"}]
            if len(kept) == 1 and len(kept) < len(choices):
                del made["anyOf"], made["default"]
                made = kept[0] | made
        return made

    compact: dict[str, Any] = visit(schema)
    compact.setdefault("properties", {})
    return compact


def output_schema(method: Callable[..., Any], name: str) -> dict[str, Any]:
    """The JSON Schema of what a method returns, by its annotation.

    It is always an object's, as MCP asks: anything else is the property ``result`` of one (see `is_wrapped`).
    Raises `ConfigurationError` where there is no annotation, or one that says nothing.
    """
    hint = get_type_hints(method, include_extras=True).get("return", Any)
    if hint in (Any, None, type(None), ToolResult):
        raise ConfigurationError(
            f"{name}: output_schema=True needs to know what the tool returns",
            hint="Annotate the return type, or give the schema itself: output_schema={…}.",
        )
    try:
        schema = TypeAdapter(hint).json_schema(mode="serialization")
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ConfigurationError(f"{name}: there is no schema for what the tool returns: {error}") from None
    if schema.get("type") == "object":
        return schema
    definitions = schema.pop("$defs", None)
    wrapped = {"type": "object", "properties": {"result": schema}, "required": ["result"], _WRAPPED: True}
    return wrapped | ({"$defs": definitions} if definitions else {})


def is_wrapped(schema: Mapping[str, Any]) -> bool:
    """Whether an output schema is of ``{"result": value}`` where the tool returns the bare value."""
    return schema.get(_WRAPPED) is True


def _unpacked(hint: Any) -> dict[str, Any] | None:
    """The fields of ``**name: Unpack[SomeTypedDict]``, which several methods can share; ``None`` for a bare ``**name``."""
    if get_origin(hint) is not Unpack:
        return None
    (keys,) = get_args(hint)
    types = get_type_hints(keys, include_extras=True)
    return {name: _key(one, name in keys.__required_keys__) for name, one in types.items()}


def _key(hint: Any, required: bool) -> tuple[Any, Any]:
    """A key's type and default. A dictionary whose hints are texts does not know its ``NotRequired`` keys by itself."""
    if get_origin(hint) in (Required, NotRequired):
        required = get_origin(hint) is Required
        (hint,) = get_args(hint)
    return hint, ... if required else None


def _has_description(hint: Any) -> bool:
    if get_origin(hint) is not Annotated:
        return False
    return any(getattr(extra, "description", None) for extra in hint.__metadata__)


def _example_for(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _example_for(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _example_for(schema[key][0], definitions)
    kind = schema.get("type", "object")
    if kind == "object":
        required = schema.get("required", ())
        return {name: _example_for(schema["properties"][name], definitions) for name in required}
    if kind == "array" and schema.get("minItems"):
        return [_example_for(schema.get("items", {}), definitions)]
    if kind in ("integer", "number"):
        return schema.get("minimum", _EXAMPLE_BY_TYPE[kind])
    return _EXAMPLE_BY_TYPE.get(kind)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
