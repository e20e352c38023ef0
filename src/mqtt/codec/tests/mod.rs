mod hostile;
mod oracles;
mod round_trip;
mod strategies;
mod table;
mod values;

use super::*;
