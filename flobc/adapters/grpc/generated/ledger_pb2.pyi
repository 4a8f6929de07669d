from . import pieces_pb2 as _pieces_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetHeadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHeadResponse(_message.Message):
    __slots__ = ("block",)
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    block: bytes
    def __init__(self, block: _Optional[bytes] = ...) -> None: ...

class GetBlockRequest(_message.Message):
    __slots__ = ("height",)
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    height: int
    def __init__(self, height: _Optional[int] = ...) -> None: ...

class GetBlockResponse(_message.Message):
    __slots__ = ("contents", "piece")
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    contents: _pieces_pb2.Contents
    piece: bytes
    def __init__(self, contents: _Optional[_Union[_pieces_pb2.Contents, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class ListBlocksRequest(_message.Message):
    __slots__ = ("from_height", "limit")
    FROM_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    from_height: int
    limit: int
    def __init__(self, from_height: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListBlocksResponse(_message.Message):
    __slots__ = ("blocks", "next_height")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    next_height: int
    def __init__(self, blocks: _Optional[_Iterable[bytes]] = ..., next_height: _Optional[int] = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("from_height",)
    FROM_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    from_height: int
    def __init__(self, from_height: _Optional[int] = ...) -> None: ...

class FollowResponse(_message.Message):
    __slots__ = ("block",)
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    block: bytes
    def __init__(self, block: _Optional[bytes] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("digest", "height", "first_piece")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FIRST_PIECE_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    height: int
    first_piece: int
    def __init__(self, digest: _Optional[bytes] = ..., height: _Optional[int] = ..., first_piece: _Optional[int] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("contents", "piece")
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    contents: _pieces_pb2.ModelContents
    piece: bytes
    def __init__(self, contents: _Optional[_Union[_pieces_pb2.ModelContents, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class GetProofRequest(_message.Message):
    __slots__ = ("height", "update")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    height: int
    update: bytes
    def __init__(self, height: _Optional[int] = ..., update: _Optional[bytes] = ...) -> None: ...

class GetProofResponse(_message.Message):
    __slots__ = ("proof",)
    PROOF_FIELD_NUMBER: _ClassVar[int]
    proof: bytes
    def __init__(self, proof: _Optional[bytes] = ...) -> None: ...

class GetStateRequest(_message.Message):
    __slots__ = ("digest", "height")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    height: int
    def __init__(self, digest: _Optional[bytes] = ..., height: _Optional[int] = ...) -> None: ...

class GetStateResponse(_message.Message):
    __slots__ = ("contents", "piece")
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    contents: _pieces_pb2.Contents
    piece: bytes
    def __init__(self, contents: _Optional[_Union[_pieces_pb2.Contents, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class GetGenesisRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetGenesisResponse(_message.Message):
    __slots__ = ("contents", "piece")
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    contents: _pieces_pb2.Contents
    piece: bytes
    def __init__(self, contents: _Optional[_Union[_pieces_pb2.Contents, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...
