"""Stand-ins for the generated classes of the Functions language worker protocol, which PyPI does not carry.

The platform injects them into ``azure_functions_runtime``; only the fields that library touches are here, with the
names of https://github.com/Azure/azure-functions-language-worker-protobuf (FunctionRpc.proto).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any


@dataclass
class _OneOf:
    """A message of which one field at most is set."""

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 - protobuf's name
        return next((name for name, value in vars(self).items() if value is not None), None)


@dataclass
class TypedData(_OneOf):
    string: str | None = None
    json: str | None = None
    bytes: Any = None
    http: Any = None
    int: Any = None
    double: float | None = None
    collection_bytes: Any = None
    collection_string: Any = None
    collection_sint64: Any = None
    model_binding_data: Any = None
    collection_model_binding_data: Any = None


@dataclass
class RpcHttp:
    method: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: TypedData = field(default_factory=TypedData)
    params: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    status_code: str = ""
    enable_content_negotiation: bool = False
    cookies: list[Any] | None = None


@dataclass
class ParameterBinding:
    name: str
    data: TypedData

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - protobuf's name
        return "data"


@dataclass
class NullableString:
    value: str


@dataclass
class NullableBool:
    value: bool


@dataclass
class NullableDouble:
    value: float


@dataclass
class Timestamp:
    seconds: int


@dataclass
class NullableTimestamp:
    value: Timestamp


@dataclass
class RpcHttpCookie:
    name: str
    value: str
    domain: NullableString | None = None
    path: NullableString | None = None
    expires: NullableTimestamp | None = None
    secure: NullableBool | None = None
    http_only: NullableBool | None = None
    same_site: Any = None
    max_age: NullableDouble | None = None

    SameSite = enum.IntEnum("SameSite", [("None", 0), ("Lax", 1), ("Strict", 2), ("ExplicitNone", 3)])


@dataclass
class RpcException:
    message: str
    stack_trace: str = ""
    source: str = ""


@dataclass
class StatusResult:
    status: int
    exception: RpcException | None = None

    Failure = 0
    Success = 1


@dataclass
class BindingInfo:
    type: str
    direction: int
    data_type: int | None = None

    inout = 2
    out = 1
    undefined = 0


@dataclass
class RpcRetryOptions:
    max_retry_count: int
    retry_strategy: str
    delay_interval: Any = None
    minimum_interval: Any = None
    maximum_interval: Any = None


@dataclass
class RpcFunctionMetadata:
    name: str
    function_id: str
    managed_dependency_enabled: bool
    directory: str
    script_file: str
    entry_point: str
    is_proxy: bool
    language: str
    bindings: dict[str, BindingInfo]
    raw_bindings: list[str]
    retry_options: RpcRetryOptions | None
    properties: dict[str, str]


@dataclass
class WorkerMetadata:
    runtime_name: str
    runtime_version: str
    worker_version: str
    worker_bitness: str
    custom_properties: dict[str, str]


@dataclass
class WorkerInitResponse:
    capabilities: dict[str, str]
    worker_metadata: WorkerMetadata
    result: StatusResult


@dataclass
class FunctionMetadataResponse:
    use_default_metadata_indexing: bool
    function_metadata_results: list[RpcFunctionMetadata] | None
    result: StatusResult


@dataclass
class FunctionLoadResponse:
    function_id: str
    result: StatusResult


@dataclass
class InvocationResponse:
    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: list[ParameterBinding] = field(default_factory=list)
