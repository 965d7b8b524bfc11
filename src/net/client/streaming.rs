//! One exchange with a server, body by body as it comes, over HTTP/1.1.
//!
//! Bodies have no bound and are never held: who does not read stalls who writes. The other half of
//! [`super::Client`], which asks on elastauth's own behalf and wants whole answers.
//!
//! hyper-util's pool is not used. It starts a task for each answer with a body, and its caller
//! cannot see whether a request that failed was handed back unsent. What it does for HTTP/1 is
//! small (`kept`): a connection is used again only when hyper says that both messages are whole,
//! nothing is left over and no end was seen.

mod answer;
mod beginning;
mod connection;
mod kept;
mod link;
mod origin;
mod relay;
mod types;
mod upload;

pub(crate) use answer::{Answer, AnswerBody};
pub(crate) use link::Link;
pub(crate) use origin::Origin;
pub(crate) use types::{LinkLimits, NotAnswered, StreamError};
pub(crate) use upload::{Upload, UploadWatch};
