//! The listeners and what they answer: auth requests of gateways, health, logouts of identity
//! providers, and pages for operators.

mod accept;
mod activity;
mod admin;
mod browser;
mod connection;
mod decide;
mod forward_auth;
mod framing;
mod guard;
mod health;
mod http;
mod limits;
mod listen;
mod listener;
mod login_url;
mod logout;
mod malformed;
mod navigation;
mod observe;
mod operation;
mod places;
mod progress;
mod proxy;
mod report;
mod route;
mod service;
mod spawner;
mod stream;
mod timer;

pub(crate) use browser::Hosts;
pub use connection::Audience;
pub use limits::ClientLimits;
pub use listen::Listen;
pub(crate) use listen::{PassedError, UnixSocket, Wanted, assign};
pub use listener::{Config, Server};
pub(crate) use listener::{ListenerControls, ServeError};
pub(crate) use login_url::LoginUrl;
pub use service::{AdminConfig, Service, ServiceParts};

#[cfg(test)]
mod tests;
