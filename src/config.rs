//! The configuration: from flags, environment, `.env` and YAML to each component's own `Config`,
//! with every fault at once.
//!
//! `table` has the keys, `value_type` their types, `choice` the enums that they select from. `load`
//! reads what the process has; `file` and `environment` say which source gives which key; `gather`
//! keeps the first of each; `fill` makes the components' configurations. Nothing above this module
//! knows where a value came from.

mod access;
mod barriers;
mod captures;
mod choice;
#[cfg(test)]
mod describe;
mod dotenv;
mod effective;
mod environment;
mod expand;
mod exposed;
mod file;
mod files;
mod fill;
mod finding;
mod forget;
mod gather;
mod given;
mod key;
mod load;
mod loaded;
mod nearest;
mod raw;
mod read;
mod reload;
mod schema;
mod section;
mod settings;
mod sources;
mod standard;
mod supervised;
mod table;
mod tenants;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod value_type;
mod yaml;

pub(crate) use barriers::Widening;
pub(crate) use effective::effective;
pub(crate) use files::check_files;
pub(crate) use finding::Finding;
pub(crate) use loaded::Loaded;
pub use read::check;
pub(crate) use read::read;
pub(crate) use reload::Reloaded;
pub(crate) use schema::schema;
pub use sources::{Flags, Sources};
pub(crate) use supervised::supervisor;
pub(crate) use types::Checked;
pub use types::{ClusterConfig, Config};
pub(crate) use value_type::{network, server_url};
