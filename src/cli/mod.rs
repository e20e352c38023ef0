//! The commands an operator types.
pub mod passwd;
pub mod policy;
