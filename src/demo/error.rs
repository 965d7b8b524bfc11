//! What ends a demonstration early.

use std::io;

/// Why the demonstration ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A listener of the demonstration itself.
    #[error("the demonstration cannot listen")]
    Listen(#[source] io::Error),
    /// The stand-in's address is no address for elastauth.
    #[error("the stand-in has an unusable address")]
    Address,
    /// elastauth did not start.
    #[error("elastauth did not start")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The terminal took no more text.
    #[error("the story cannot be printed")]
    Print(#[from] io::Error),
    /// A step of the tour failed.
    #[error("step {step} failed: {why}")]
    Tour {
        /// Its number in the tour.
        step: u8,
        /// What was expected and what came.
        why: String,
    },
}
