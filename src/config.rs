//! The configuration: from flags, environment, `.env` and YAML to each component's own `Config`,
//! with every fault at once.
//!
//! `table` has the keys, `value_type` their types, `choice` the enums that they select from. `load`
//! reads what the process has; `file` and `environment` say which source gives which key; `gather`
//! keeps the first of each; `fill` makes the components' configurations. Nothing above this module
//! knows where a value came from.

mod choice;
mod describe;
mod dotenv;
mod effective;
mod environment;
mod expand;
mod file;
mod files;
mod fill;
mod finding;
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
mod table;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod value_type;
mod yaml;

pub use describe::{example, reference};
pub use effective::{Setting, effective};
pub use files::check_files;
pub use finding::{Finding, Place};
pub use loaded::Loaded;
pub use read::{check, read};
pub use reload::Reloaded;
pub use schema::schema;
pub use sources::{Flags, Sources};
pub use types::{Checked, Config};
