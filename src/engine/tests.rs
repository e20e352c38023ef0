//! The engine through its public face, by theme.

mod delivery;
mod law;
mod lifecycle;
mod properties;
mod retained;
mod review;
mod routing;
mod shared;
mod simulation;
mod slow;
mod threads;
mod world;
