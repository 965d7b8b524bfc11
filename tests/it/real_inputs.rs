//! What gateways and identity providers really send, and what the running program makes of it.
//!
//! Each input is a row of a table. A test sends it, and docs/REAL-INPUTS.md shows it, so the
//! document says nothing that no test holds. Rows that other tests hold are in `elsewhere`. `cargo
//! test --test it write_real_inputs -- --ignored` writes the document.

mod claims;
mod document;
mod elsewhere;
mod headers;
mod program;
mod roles;
mod row;
mod tokens;
mod told;
mod user_names;
