from . import pieces_pb2 as _pieces_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetPayloadRequest(_message.Message):
    __slots__ = ("update", "first_chunk")
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    FIRST_CHUNK_FIELD_NUMBER: _ClassVar[int]
    update: bytes
    first_chunk: int
    def __init__(self, update: _Optional[bytes] = ..., first_chunk: _Optional[int] = ...) -> None: ...

class GetPayloadResponse(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: bytes
    chunk: bytes
    def __init__(self, header: _Optional[bytes] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class BlobsGetModelRequest(_message.Message):
    __slots__ = ("digest", "first_piece")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_PIECE_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    first_piece: int
    def __init__(self, digest: _Optional[bytes] = ..., first_piece: _Optional[int] = ...) -> None: ...

class BlobsGetModelResponse(_message.Message):
    __slots__ = ("contents", "piece")
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    contents: _pieces_pb2.ModelContents
    piece: bytes
    def __init__(self, contents: _Optional[_Union[_pieces_pb2.ModelContents, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...
