//! What is wrong with the bytes of a connection, and how much of them may be one unit.

use http::StatusCode;

/// Why the bytes of an HTTP/1 connection are not taken as a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FramingFault {
    /// No method, target and version with one space between each. HTTP/0.9 has no version.
    RequestLine,
    /// `CONNECT` and `TRACE`, which no cluster has.
    Method,
    /// Neither `/...` nor `http://host/...`, or with a byte that no target has.
    Target,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    Version,
    HostMissing,
    HostRepeated,
    HostMalformed,
    /// The target names another host than `Host`.
    HostContradicted,
    /// A line that ends with less than CR and LF, or a CR inside of one.
    LineEnd,
    /// A line that continues the one before it.
    Folding,
    /// Also white space before the colon.
    FieldName,
    /// A control character in a value.
    FieldValue,
    /// `Content-Length` that is not one decimal number.
    Length,
    LengthRepeated,
    LengthAndEncoding,
    /// `Transfer-Encoding` that is not exactly one `chunked`, or in HTTP/1.0.
    Encoding,
    ChunkSize,
    /// A chunk that is longer or shorter than its size.
    ChunkEnd,
    ChunkExtension,
    /// A trailer that would change where the message ends or where it goes.
    Trailer,
    LineTooLong,
    TooManyFields,
    HeadTooLarge,
}

impl FramingFault {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 23] = [
        Self::RequestLine,
        Self::Method,
        Self::Target,
        Self::Version,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostMalformed,
        Self::HostContradicted,
        Self::LineEnd,
        Self::Folding,
        Self::FieldName,
        Self::FieldValue,
        Self::Length,
        Self::LengthRepeated,
        Self::LengthAndEncoding,
        Self::Encoding,
        Self::ChunkSize,
        Self::ChunkEnd,
        Self::ChunkExtension,
        Self::Trailer,
        Self::LineTooLong,
        Self::TooManyFields,
        Self::HeadTooLarge,
    ];

    /// Its name in logs and answers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Method => "method",
            Self::Target => "target",
            Self::Version => "version",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostMalformed => "host_malformed",
            Self::HostContradicted => "host_contradicted",
            Self::LineEnd => "line_end",
            Self::Folding => "folding",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::Length => "content_length",
            Self::LengthRepeated => "content_length_repeated",
            Self::LengthAndEncoding => "length_and_encoding",
            Self::Encoding => "transfer_encoding",
            Self::ChunkSize => "chunk_size",
            Self::ChunkEnd => "chunk_end",
            Self::ChunkExtension => "chunk_extension",
            Self::Trailer => "trailer",
            Self::LineTooLong => "line_too_long",
            Self::TooManyFields => "too_many_fields",
            Self::HeadTooLarge => "head_too_large",
        }
    }

    /// What happened, for whoever sent it.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::RequestLine => "The request line is malformed.",
            Self::Method => "This method is not supported.",
            Self::Target => {
                "The request target is malformed. It must begin with a slash, and other characters \
                 than those of a URL must be percent-encoded."
            }
            Self::Version => "Only HTTP/1.1, HTTP/1.0 and HTTP/2 are supported.",
            Self::HostMissing => "The Host header is missing.",
            Self::HostRepeated => "There is more than one Host header.",
            Self::HostMalformed => "The Host header is malformed.",
            Self::HostContradicted => "The Host header and the request target name two hosts.",
            Self::LineEnd => "A line does not end with CR and LF.",
            Self::Folding => "A header continues on the next line.",
            Self::FieldName => "The name of a header is malformed.",
            Self::FieldValue => "The value of a header has a control character.",
            Self::Length => "The Content-Length header is not a decimal number.",
            Self::LengthRepeated => "There is more than one Content-Length header.",
            Self::LengthAndEncoding => {
                "The request has both a Content-Length and a Transfer-Encoding header."
            }
            Self::Encoding => "The Transfer-Encoding is not one `chunked` in HTTP/1.1.",
            Self::ChunkSize => "The size of a chunk is malformed.",
            Self::ChunkEnd => "A chunk does not have its size.",
            Self::ChunkExtension => "The extensions of the chunks are malformed or too long.",
            Self::Trailer => "A trailer of the request has a name that no trailer may have.",
            Self::LineTooLong => "The request line is too long.",
            Self::TooManyFields => "The request has too many headers.",
            Self::HeadTooLarge => "The headers of the request are too large.",
        }
    }

    /// For programs.
    pub(crate) fn code(self) -> &'static str {
        match self.status() {
            StatusCode::NOT_IMPLEMENTED => "method_refused",
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                "request_too_large"
            }
            _ => "malformed_request",
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::LineTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyFields | Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RequestLine
            | Self::Target
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostMalformed
            | Self::HostContradicted
            | Self::LineEnd
            | Self::Folding
            | Self::FieldName
            | Self::FieldValue
            | Self::Length
            | Self::LengthRepeated
            | Self::LengthAndEncoding
            | Self::Encoding
            | Self::ChunkSize
            | Self::ChunkEnd
            | Self::ChunkExtension
            | Self::Trailer => StatusCode::BAD_REQUEST,
        }
    }
}

/// The source of the error that ends a body in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the body is not framed as HTTP/1 demands ({})", .0.name())]
pub(crate) struct MalformedBody(pub(crate) FramingFault);

/// How much a request may have before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// The request line and all headers.
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Sized(u64),
    Chunked,
}
