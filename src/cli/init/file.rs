//! A file that is to be written.

use std::fmt;

pub(super) struct File {
    /// Below the folder, with `/`.
    pub(super) path: String,
    pub(super) content: Vec<u8>,
    pub(super) mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Script,
    /// For its owner alone.
    Secret,
}

impl Mode {
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::Script => 0o755,
            Self::Secret => 0o600,
        }
    }
}

/// Without the content, which may be a secret.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.path, self.mode)
    }
}
