//! Settings of the ledger.

use super::redis;
use std::path::PathBuf;

/// Settings of the ledger.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many users are remembered; beyond it the least used are forgotten, which costs a call
    /// each and never a login.
    pub capacity: usize,
    /// What is behind the memory.
    pub store: StoreConfig,
}

/// What is behind the memory.
#[derive(Debug, Clone, Default)]
pub enum StoreConfig {
    /// Nothing.
    #[default]
    Memory,
    /// Redis, shared by replicas.
    Redis(Box<redis::Config>),
    /// A file in this folder, of one process at a time.
    File(PathBuf),
    /// The same; the folder is made with the first write and removed at the end if nobody is in
    /// its file.
    TransientFile(PathBuf),
}
