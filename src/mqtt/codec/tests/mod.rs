mod table;

use super::*;
