//! placeholder

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many users are remembered; beyond it the least used are forgotten, which costs a call each and never a login.
    pub capacity: usize,
}
